"""Owners are a boundary: every operation of the registry, tried from another owner."""

from functools import partial

import pytest

from examples import EXAMPLES, NAMES, OPERATIONS, dump, example, furnish
from holdfast import errors
from holdfast.page import Page


@pytest.fixture
def ada(store):
    """An owner who has one of everything."""
    mine = store.owned_by("ada")
    furnish(mine, "Ada")  # "ada" is in "metadata"
    return mine


def outcome(store, name, args):
    """The result of an operation, or the class of holdfast's error."""
    try:
        return store.call(name, args)
    except errors.HoldfastError as error:
        return type(error)


def test_every_operation_has_an_example_and_every_example_an_operation(store):
    known = {name for name in store.operations() if name.split(".")[0] in OURS}
    assert known == set(EXAMPLES)


OURS = {name.split(".")[0] for name in NAMES}


def shown(result):
    """Everything that a result shows."""
    return repr(list(result) if isinstance(result, Page) else result)


def test_a_stranger_neither_reads_nor_writes_what_an_owner_has(store, ada):
    for name in NAMES:
        wanted = example(name)
        before = dump(store, "ada")
        got = outcome(store.owned_by(f"stranger to {name}"), name, wanted.args)
        if isinstance(wanted.stranger, type):
            assert got is wanted.stranger, name
        else:
            assert not isinstance(got, type), name
            assert wanted.stranger(got), name
        assert "Ada" not in shown(got), name
        assert dump(store, "ada") == before, name


def test_the_same_ids_under_two_owners_are_two_records(store, ada):
    before = dump(store, "ada")
    bob = store.owned_by("bob")
    bob.run(partial(furnish, word="bob"))
    for name in NAMES:
        other = bob
        if not OPERATIONS[name].reads:
            other = store.owned_by(f"owner of {name}")
            other.run(partial(furnish, word="bob"))
        got = outcome(other, name, example(name).args)
        assert not isinstance(got, type), name
        assert "Ada" not in shown(got), name
        assert dump(store, "ada") == before, name


WAYS = [
    *(
        ("sessions.list", filters)
        for filters in ({}, {"status": "active"}, {"parent": "talk"}, {"tag": "all"})
    ),
    *(
        ("tasks.list", filters)
        for filters in (
            {}, {"status": "pending"}, {"tool": "hammer"}, {"session": "talk"},
            {"stale": True},
        )
    ),
    ("sessions.messages", {"id": "talk"}),
    ("sessions.messages", {"id": "talk", "after": 0}),
    ("journal.read", {}),
    ("tasks.metrics", {}),
]  # fmt: skip
"""Every way in which a look goes by a statement of its own."""


@pytest.mark.parametrize(("name", "args"), WAYS, ids=str)
def test_whichever_way_an_owner_looks_nobody_else_is_seen(
    store, ada, clock, name, args
):
    bob = store.owned_by("bob")
    furnish(bob, "bob")
    for owner in (ada, bob):
        owner.leases.acquire("tasks", "doing", holder="dead", seconds=1)
    clock.advance(1)
    alone = ada.call(name, args)
    assert "bob" not in shown(alone)
    bob.sessions.delete("talk")
    bob.tasks.delete("doing")
    bob.tasks.delete("todo")
    assert ada.call(name, args) == alone
    if isinstance(alone, Page):
        assert len(alone) > 0


def test_the_owner_that_has_no_name_is_one_like_any_other(store, ada):
    assert list(store.sessions.list()) == []
    store.sessions.create("mine", id="talk")
    assert store.sessions.get("talk").owner == ""
    assert ada.sessions.get("talk").title == "talk of Ada"


def test_every_record_says_whose_it_is(ada):
    assert {s.owner for s in ada.sessions.list()} == {"ada"}
    assert {t.owner for t in ada.tasks.list()} == {"ada"}
    assert {c.owner for c in ada.journal.read()} == {"ada"}
    assert ada.leases.get("sessions", "leased").owner == "ada"


def test_a_lease_of_another_owner_covers_nothing(store, ada):
    bob = store.owned_by("bob")
    furnish(bob, "bob")
    lease = ada.leases.get("sessions", "leased")
    before = dump(store, "bob")
    with pytest.raises(errors.Refused, match="another owner"):
        bob.holding(lease).sessions.append("leased", "user", "in")
    with pytest.raises(errors.Refused), bob.transaction(lease=lease) as tx:
        tx.sessions.append("leased", "user", "in")
    assert dump(store, "bob") == before


def test_a_lease_by_one_owner_holds_nobody_elses_record(store, ada):
    bob = store.owned_by("bob")
    furnish(bob, "bob")
    bob.leases.release("sessions", "leased", fence=1)
    assert bob.sessions.append("leased", "user", "free").position == 1
    with pytest.raises(errors.Held):
        ada.sessions.append("leased", "user", "held")


def test_a_transaction_and_a_run_stay_with_their_owner(store, ada):
    with store.owned_by("bob").transaction() as tx, pytest.raises(errors.NotFound):
        tx.sessions.append("talk", "user", "in")
    with pytest.raises(errors.NotFound):
        store.owned_by("bob").run(lambda tx: tx.tasks.get("todo"))
    assert ada.run(lambda tx: tx.sessions.get("talk").owner) == "ada"


def test_a_keyed_run_is_once_for_each_owner(store):
    def keep(tx):
        return tx.sessions.create(id="s").owner

    for owner in ("ada", "bob", "ada"):
        assert store.owned_by(owner).run(keep, once="k") == owner


def test_a_named_follower_is_each_owners_own(store, ada):
    bob = store.owned_by("bob")
    furnish(bob, "bob")
    head = bob.journal.advance("reader", bob.journal.head())
    assert ada.journal.cursor("reader") == 1
    assert bob.journal.cursor("reader") == head


def test_owners_lists_everyone_who_has_a_record(store, ada):
    assert store.owners() == ["ada"]
    store.owned_by("bob").tasks.create("only a task")
    store.owned_by("ad").sessions.create()
    store.sessions.create()
    assert store.owners() == ["", "ad", "ada", "bob"]
    assert ada.owners() == store.owners()


def test_an_owner_who_has_nothing_left_is_no_longer_listed(store):
    store.owned_by("bob").sessions.create(id="s")
    store.owned_by("bob").sessions.delete("s")
    assert store.owners() == []


def test_usage_counts_rows_and_bytes_of_one_owner(store, ada):
    bob = store.owned_by("bob")
    talk = bob.sessions.create()
    bob.sessions.append(talk.id, "user", "0123456789", metadata={"a": 1})
    used = store.usage("bob")
    assert used.owner == "bob"
    assert (used.tables["session"].rows, used.tables["message"].rows) == (1, 1)
    assert used.tables["message"].bytes == len('"0123456789"') + len('{"a":1}')
    assert used.bytes == used.tables["message"].bytes
    assert bob.usage() == used
    had = store.usage("ada").tables
    assert (had["session"].rows, had["message"].rows) == (3, 4)
    assert (had["task"].rows, had["task_log"].rows) == (2, 1)
    assert store.usage("nobody").bytes == 0


def test_across_owners_lists_everyone_page_by_page(store, ada):
    furnish(store.owned_by("bob"), "bob")
    across = store.across_owners()
    for limit in (1, 2, 3, 4, 50):
        found, cursor = [], None
        while True:
            page = across.sessions.list(limit=limit, cursor=cursor)
            assert len(page) <= limit
            found += [(s.owner, s.id) for s in page]
            cursor = page.cursor
            if cursor is None:
                break
        wanted = [(o, i) for o in ("ada", "bob") for i in ("leased", "child", "talk")]
        assert found == wanted


def test_across_owners_filters_as_the_lists_do(store, ada):
    furnish(store.owned_by("bob"), "bob")
    across = store.across_owners()
    assert {t.owner for t in across.tasks.list(status="in_progress")} == {"ada", "bob"}
    assert [s.owner for s in across.sessions.list(tag="bob")] == ["bob"]
    assert across.sessions.list(tag="nobody") == Page([])


def test_across_owners_reads_everyones_journal_and_writes_nothing(store, ada):
    furnish(store.owned_by("bob"), "bob")
    before = dump(store)
    across = store.across_owners()
    assert {c.owner for c in across.journal.read(limit=500)} == {"ada", "bob"}
    for name in ("create", "append", "delete", "update"):
        assert not hasattr(across.sessions, name)
    with pytest.raises(errors.Refused, match="owned_by"):
        _ = across.leases
    assert dump(store) == before


@pytest.mark.parametrize("wrong", [5, None, b"ada", "a/b", "..", "x" * 201, "\ud800"])
def test_an_owner_is_named_by_an_id(store, wrong):
    with pytest.raises(errors.BadInput):
        store.owned_by(wrong)
    with pytest.raises(errors.BadInput):
        store.usage(wrong if wrong is not None else 5)


@pytest.mark.parametrize("limit", [0, -1, "5", 1.5, None, 1_001])
def test_across_owners_refuses_a_page_of_no_size(store, ada, limit):
    with pytest.raises(errors.BadInput):
        store.across_owners().sessions.list(limit=limit)


@pytest.mark.parametrize("cursor", [5, "nonsense", b"x", "é"])
def test_across_owners_refuses_a_cursor_that_is_none_of_its(store, ada, cursor):
    with pytest.raises(errors.BadInput):
        store.across_owners().sessions.list(cursor=cursor)
