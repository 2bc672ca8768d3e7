"""Statements: what a transaction gives for the name of a statement.

Answers for: `one`, `all`, `run`, `put`, `fields`, `knows`, values, savepoints.
"""

from typing import Any

import pytest

from holdfast.engine import Terms, Transaction
from holdfast.errors import HoldfastError
from holdfast.testing.contract import Contract
from holdfast.testing.work import (
    Boom,
    Opened,
    Place,
    add,
    add_all,
    change,
    drop,
    ids,
    rows,
)

_TEXTS = ("", "plain", 'it\'s "so"', "100 % :now $1 ? \\n {x}", "é ß 漢 🜁", "a\nb\t")
_NUMBERS = (0, 1, -1, 2**31, 2**53 + 1, 2**62)


class StatementsContract(Contract):
    """What a kind may ask of the transaction that it works in."""

    def test_a_statement_gives_a_row_or_rows_or_a_count(self, place: Place) -> None:
        def work(tx: Transaction) -> None:
            first, second = add("a", "one")(tx), add("b", "two")(tx)
            found = tx.one("task_get", owner="", id="a")
            assert found is not None
            assert found[:3] == (first, "", "a")
            assert tx.one("task_get", owner="", id="none") is None
            assert sorted(row[0] for row in rows(tx)) == sorted([first, second])
            fields = tx.fields("task_now", no=second)
            assert fields is not None
            assert (fields["id"], fields["description"]) == ("b", "two")
            assert tx.fields("task_now", no=-1) is None
            assert change(first, "new")(tx) == 1
            assert drop(first)(tx) == 1
            assert drop(first)(tx) == 0
            nobody = {"owner": "none", "before_at": 1, "before_no": 1, "limit": 1}
            assert tx.all("task_list", **nobody) == []

        place.open().write(work)

    def test_a_transaction_knows_which_statements_there_are(self, place: Place) -> None:
        def work(tx: Transaction) -> list[bool]:
            return [tx.knows(name) for name in ("task_get", "tasks_exists", "none")]

        one = place.open()
        assert one.write(work) == one.read(work) == [True, True, False]

    def test_a_transaction_has_the_terms_and_limits_that_it_was_given(
        self, place: Place
    ) -> None:
        one = place.open()
        terms = Terms(owner="ada", actor="a", cause="c")

        def work(tx: Transaction) -> Terms:
            assert tx.limits == one.core.limits
            return tx.terms

        assert one.write(work, terms) == terms
        assert one.engine.read(one.unit(work, terms)) == terms

    def test_values_come_back_as_they_were(self, place: Place) -> None:
        one = place.open()
        for number, text in enumerate(_TEXTS):
            fields = _fields(one, one.write(add(f"text-{number}", text)))
            assert (fields["description"], fields["tool"]) == (text, None)
        for value in _NUMBERS:
            assert _kept(one, value) == value

    def test_text_is_ordered_by_its_bytes(self, place: Place) -> None:
        one = place.open()
        owners = ["é", "a", "B", "_", "z", "A b", "-", "ä", "Z"]
        for owner in owners:
            one.write(add("x"), Terms(owner=owner))
        assert one.store.owners() == sorted(owners, key=str.encode)

    def test_what_is_asked_sees_what_was_put_before(self, place: Place) -> None:
        def work(tx: Transaction) -> None:
            for count in range(1, 6):
                add(str(count))(tx)
                assert len(ids(tx)) == count

        place.open().write(work)

    def test_a_put_that_fails_is_told_by_the_end_of_its_unit(
        self, place: Place
    ) -> None:
        one = place.open()
        one.write(add("taken"))
        with pytest.raises(HoldfastError):
            one.write(add_all("gone", "taken"))
        with pytest.raises(HoldfastError), one.body() as tx:
            add_all("gone", "taken")(tx)
        assert one.ids() == ["taken"]

    def test_a_savepoint_that_fails_is_undone_alone(self, place: Place) -> None:
        one = place.open()

        def work(tx: Transaction) -> list[str]:
            add("before")(tx)
            with pytest.raises(Boom), tx.savepoint():
                add("gone")(tx)
                raise Boom
            with tx.savepoint():
                add("part")(tx)
            with pytest.raises(HoldfastError), tx.savepoint():
                add_all("away", "before")(tx)
            add("after")(tx)
            return ids(tx)

        assert one.write(work) == one.ids() == ["after", "before", "part"]

    def test_a_savepoint_stands_within_another(self, place: Place) -> None:
        one = place.open()

        def work(tx: Transaction) -> None:
            with tx.savepoint():
                add("outer")(tx)
                with pytest.raises(Boom), tx.savepoint():
                    add("inner")(tx)
                    raise Boom
                add("next")(tx)
            with pytest.raises(Boom), tx.savepoint():
                with tx.savepoint():
                    add("kept, and undone")(tx)
                raise Boom

        one.write(work)
        assert one.ids() == ["next", "outer"]


def _kept(one: Opened, value: int) -> int:
    def work(tx: Transaction) -> int:
        tx.put("follower_put", owner="", name="n", cursor=value, now=tx.now)
        row = tx.one("follower_get", owner="", name="n")
        assert row is not None
        return int(row[0])

    return one.write(work)


def _fields(one: Opened, no: int) -> dict[str, Any]:
    """A task's row."""
    found = one.read(lambda tx: tx.fields("task_now", no=no))
    assert found is not None
    return found
