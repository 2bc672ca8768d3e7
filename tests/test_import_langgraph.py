"""Importing from LangGraph: its own savers' and stores' databases, whole and safely."""

import itertools
import json
import pickle
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager

import ormsgpack
import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.postgres import PostgresStore
from langgraph.store.sqlite import SqliteStore
from langgraph.types import Send
from sqlite_vec import serialize_float32

import holdfast
from conftest import place_on
from foreign import foreign_database
from holdfast.cli import main
from holdfast.errors import Unreachable
from holdfast.importers import langgraph_threads
from holdfast.importers.langgraph import import_langgraph
from holdfast.integrations.langgraph import HoldfastSaver, HoldfastStore
from holdfast.runtime.transfer import batches
from killing import Worker
from test_langgraph import CONFIG, made, turns

STRICT = JsonPlusSerializer(allowed_msgpack_modules=None)


@pytest.fixture
def store(request, tmp_path):
    engine = getattr(request, "param", "memory")
    with place_on(engine, tmp_path) as target, holdfast.open(target) as opened:
        yield opened
        assert opened.check().problems == ()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "theirs.db"


@contextmanager
def theirs_in(kind, file):
    """Their own saver, and what it is read from."""
    if kind == "sqlite":
        with SqliteSaver.from_conn_string(str(file)) as saver:
            saver.serde = STRICT
            yield saver, file
    else:
        with foreign_database() as url, PostgresSaver.from_conn_string(url) as saver:
            saver.serde = STRICT
            saver.setup()
            yield saver, url


def counts(report):
    return {one.what: (one.found, one.added) for one in report.others}


def listed(saver):
    """All checkpoints with all that is theirs, in one order."""
    found = list(saver.list(None))
    found.sort(key=lambda one: sorted(one.config["configurable"].items()))
    return found


@pytest.mark.parametrize(
    ("kind", "store"),
    [("sqlite", "memory"), ("postgres", "postgres")],
    indirect=["store"],
)
def test_every_checkpoint_comes_whole_and_the_graph_goes_on(kind, store, file):
    with theirs_in(kind, file) as (theirs, source):
        graph = made(theirs)
        turns(graph)
        report = import_langgraph(store, source)
        wanted = listed(theirs)
        state = graph.get_state(CONFIG)
        again = import_langgraph(store, source)
    ours = HoldfastSaver(store)
    assert listed(ours) == wanted
    assert report.set_aside == again.set_aside == ()
    assert counts(report) == {"thread": (1, 1), "checkpoint": (len(wanted),) * 2}
    assert counts(again)["checkpoint"] == (len(wanted), 0)
    said = [message.content for message in store.sessions.history("trip")]
    assert said == [message.content for message in state.values["messages"]]
    went_on = made(ours).invoke({"messages": [HumanMessage("on", id="on")]}, CONFIG)
    assert "on" in [message.id for message in went_on["messages"]]


def step(n, values, **rest):
    """A checkpoint as a graph would put it, later than those of smaller numbers."""
    return empty_checkpoint() | {"id": f"{n:08}", "channel_values": values} | rest


def put(saver, thread, *steps, metadata=None):
    """Checkpoints one after another, each with a write; the config of the last."""
    config = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    for checkpoint in steps:
        versions = dict.fromkeys(checkpoint["channel_values"], 1)
        config = saver.put(
            config,
            checkpoint | {"channel_versions": versions},
            metadata or {},
            versions,
        )
        saver.put_writes(config, [("a", checkpoint["id"])], "task", "path")
    return config


def said(*texts):
    return {"messages": [HumanMessage(text, id=text) for text in texts]}


def change(file, *statements):
    with sqlite3.connect(file) as database:
        for statement, *values in statements:
            database.execute(statement, values)
    database.close()


def test_a_thread_is_led_on_if_it_is_still_the_one(store, file):
    ours = HoldfastSaver(store)
    with theirs_in("sqlite", file) as (theirs, _):
        put(theirs, "ada", step(1, said("x")), step(2, said("x", "y")))
        put(theirs, "bob", step(1, said("x")))
        put(theirs, "eve", step(1, {"n": 1}))
        put(theirs, "kim", step(1, {"n": 1}))
        import_langgraph(store, file)
        moment = store.moment()
        assert import_langgraph(store, file).set_aside == ()
        assert store.moment() == moment
        last = put(theirs, "ada", step(3, said("x", "z"), v=4))
        theirs.put_writes(last, [("b", 2)], "later")
        put(theirs, "bob", step(2, said("x", "y")))
        put(theirs, "eve", step(2, {"n": 2}))
        put(theirs, "kim", step(1, {"n": 2}), step(2, {"n": 2}))
        store.sessions.append("bob", "user", "here")
        put(ours, "eve", step(9, {"n": 9}))
        report = import_langgraph(store, file)
        wanted = [one for one in listed(theirs) if "ada" in str(one.config)]
    assert [one for one in listed(ours) if "ada" in str(one.config)] == wanted
    assert counts(report)["checkpoint"][1] == 1
    told = {one.position: one.reason for one in report.set_aside}
    assert "other messages" in told["checkpoints[bob, 00000002]"]
    assert "gone on here" in told["checkpoints[eve, 00000002]"]
    assert "another one here" in told["checkpoints[kim, 00000001]"]
    assert [one.content for one in store.sessions.history("bob")] == ["x", "here"]


def test_a_session_in_the_way_is_left_and_told(store, file):
    store.sessions.create("mine", id="ada")
    with theirs_in("sqlite", file) as (theirs, _):
        put(theirs, "ada", step(1, said("x")), step(2, said("y")))
        put(theirs, "a/b", step(1, said("x")))
        put(theirs, "bob", step(1, said("x")))
    report = import_langgraph(store, file)
    assert {one.position for one in report.set_aside} == {
        "checkpoints[ada, 00000001]",
        "checkpoints[a/b]",
    }
    assert [thread.id for thread in store.threads.list()] == ["bob"]
    assert store.sessions.get("ada").message_count == 0


def test_a_checkpoint_past_a_limit_stays_and_the_rest_goes_in(file):
    big = random.Random(1).randbytes(2_000)
    with (
        holdfast.open(":memory:", limits=holdfast.Limits(value_bytes=1_000)) as store,
        theirs_in("sqlite", file) as (theirs, _),
    ):
        put(theirs, "ada", step(1, said("x")), step(2, {"n": big}), step(3, {"n": 1}))
        first = import_langgraph(store, file)
        put(theirs, "ada", step(4, said("x", "y")))
        report = import_langgraph(store, file)
        there = [one.checkpoint["id"] for one in listed(HoldfastSaver(store))]
    assert counts(report)["checkpoint"] == (3, 1)
    assert there == ["00000001", "00000003", "00000004"]
    assert first.set_aside == report.set_aside
    assert [one.position for one in first.set_aside] == ["checkpoints[ada, 00000002]"]


class Touch:
    """What makes a file, once it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def hostile(marker):
    """Values whose decoding would make a file, if it called what they name."""
    one = ormsgpack.packb(("pathlib", "Path", str(marker), "touch"))
    said = ("builtins", "open", (str(marker), "w"))
    kw = ("builtins", "open", {"file": str(marker), "mode": "w"})
    return [
        ormsgpack.Ext(1, ormsgpack.packb(said)),
        ormsgpack.Ext(2, ormsgpack.packb(kw)),
        ormsgpack.Ext(3, one),
        ormsgpack.Ext(4, ormsgpack.packb(kw)),
        ormsgpack.Ext(5, ormsgpack.packb((*kw, "model_validate_json"))),
    ]


def test_nothing_hostile_is_called_and_what_only_code_reads_is_told(store, file):
    marker = file.parent / "called"
    bad = pickle.dumps(Touch(marker))
    revive = {"lc": 2, "type": "constructor", "id": ["builtins", "open"]}
    revive |= {"args": [str(marker), "w"]}
    with theirs_in("sqlite", file) as (theirs, _):
        put(theirs, "ada", step(1, said("x")), step(2, said("x", "y")))
        put(theirs, "bob", step(1, {"n": 1}))
    whole = step(3, {"evil": hostile(marker), "messages": hostile(marker)})
    told = step(4, {"messages": [revive], "evil": revive})
    broken = step(8, {"ok": 1, "bad": {"text": "??"}})
    add = "insert into checkpoints values ('bob', '', ?, null, ?, ?, null)"
    wrote = "insert into writes values ('bob', '', '00000001', ?, '', 0, 'n', ?, ?)"
    pickled = "update checkpoints set type = 'pickle', checkpoint = ?"
    change(
        file,
        (f"{pickled} where checkpoint_id = '00000002'", bad),
        (add, "00000003", "msgpack", ormsgpack.packb(whole)),
        (add, "00000004", "json", json.dumps(told)),
        (add, "00000005", "msgpack", b"\x81\xa2id"),
        (add, "00000006", "msgpack+aes", b"x"),
        (add, "00000007", None, bad),
        (add, "00000008", "msgpack", ormsgpack.packb(broken).replace(b"??", b"\xff?")),
        (wrote, "t1", "pickle", bad),
        (wrote, "t2", "msgpack", ormsgpack.packb(hostile(marker))),
        (wrote, "t3", "bytes", b"plain"),
    )
    report = import_langgraph(store, file)
    assert {one.position for one in report.set_aside} == {
        "checkpoints[ada, 00000002]",
        "checkpoints[bob, 00000005]",
        "checkpoints[bob, 00000006]",
        "checkpoints[bob, 00000007]",
        "checkpoints[bob, 00000008, bad]",
        "writes[bob, 00000001, t1, 0]",
    }
    assert import_langgraph(store, file).set_aside == report.set_aside
    found = {
        (one.config["configurable"]["thread_id"], one.checkpoint["id"]): one
        for one in listed(HoldfastSaver(store))
    }
    bob = [("bob", f"{n:08}") for n in (1, 3, 4, 8)]
    assert found.keys() == {("ada", "00000001"), *bob}
    packed = found[bob[1]].checkpoint["channel_values"]["evil"]
    assert packed[:2] == [[str(marker), "w"], {"file": str(marker), "mode": "w"}]
    values = found[bob[2]].checkpoint["channel_values"]
    assert values == {"messages": [revive], "evil": revive}
    assert [wrote[0] for wrote in found[bob[0]].pending_writes] == ["t2", "t3", "task"]
    assert not marker.exists()


def test_on_postgresql_only_the_value_that_is_pickled_stays_behind(store, file):
    bad = pickle.dumps(Touch(file))
    with theirs_in("postgres", file) as (theirs, url):
        put(theirs, "ada", step(1, said("x") | {"n": [1], "s": 2}))
        put(theirs, "ada", step(2, said("x") | {"n": [1], "s": 2}))
        theirs.conn.execute(
            "update checkpoint_blobs set type = 'pickle', blob = %s"
            " where channel = 'n'",
            [bad],
        )
        report = import_langgraph(store, url)
    assert [one.position for one in report.set_aside] == ["checkpoint_blobs[ada, n, 1]"]
    ours = [one.checkpoint["channel_values"] for one in listed(HoldfastSaver(store))]
    assert ours == [said("x") | {"s": 2}] * 2
    assert not file.exists()


def test_what_older_versions_kept_is_read_as_they_read_it(store, file):
    """JSON, no path of tasks, and on PostgreSQL what was sent among the writes."""
    with theirs_in("postgres", file) as (theirs, url):
        first = put(theirs, "ada", step(1, {"n": [1]}, v=3))
        theirs.put_writes(first, [("__pregel_tasks", Send("leaf", {"n": 7}))], "b", "2")
        theirs.put_writes(first, [("__pregel_tasks", Send("leaf", {"n": 6}))], "c", "1")
        versions = {"n": f"{2:032}.5"}
        later = step(2, {"n": [2]}, v=3, channel_versions=versions)
        theirs.put(first, later, {}, versions)
        assert import_langgraph(store, url).set_aside == ()
        wanted = listed(theirs)
    assert wanted[1].checkpoint["channel_values"]["__pregel_tasks"][0].arg == {"n": 6}
    assert listed(HoldfastSaver(store)) == wanted
    key = "thread_id, checkpoint_ns, checkpoint_id"
    put_one = "insert into checkpoints values ('bob', '', '1', null, 'json', ?, ?)"
    change(
        file,
        (f"create table checkpoints ({key}, {PARENT}, type, checkpoint, metadata)",),
        (f"create table writes ({key}, task_id, idx, channel, type, value)",),
        (put_one, json.dumps(step(1, OLD)).encode(), b'{"step": 1}'),
        ("insert into writes values ('bob', '', '1', 't', 0, 'n', 'json', ?)", b"[1]"),
    )
    assert import_langgraph(store, file).set_aside == ()
    (found,) = HoldfastSaver(store).list({"configurable": {"thread_id": "bob"}})
    assert found.checkpoint["channel_values"] == {
        "messages": [HumanMessage("hello", id="h")],
        "n": {"a": 1},
    }
    assert (found.metadata, found.pending_writes) == ({"step": 1}, [("t", "n", [1])])
    assert store.sessions.messages("bob")[0].content == "hello"


PARENT = "parent_checkpoint_id"
OLD = {
    "n": {"a": 1},
    "messages": [
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", "HumanMessage"],
            "kwargs": {"content": "hello", "type": "human", "id": "h"},
        }
    ],
}


def test_an_import_that_is_killed_is_finished_by_the_next(file, path):
    with theirs_in("sqlite", file) as (theirs, _):
        for name in ("ada", "bob"):
            every = [f"{n} {name}" for n in range(30)]
            put(theirs, name, *(step(n, said(*every[:n])) for n in range(1, 30)))
        wanted = listed(theirs)

    def work(say):
        batches.BATCH_MESSAGES = langgraph_threads.BATCH_MESSAGES = 4
        with holdfast.open(path) as store:
            store.run = slowed(store.run, say)
            import_langgraph(store, file)

    worker = Worker(work)
    try:
        worker.wait_for(9)
        worker.kill()
    finally:
        worker.close()
    with holdfast.open(path) as store:
        there = len(listed(HoldfastSaver(store)))
        assert 36 <= there < len(wanted)
        report = import_langgraph(store, file)
        assert (report.set_aside, listed(HoldfastSaver(store))) == ((), wanted)
        assert counts(report)["checkpoint"] == (len(wanted), len(wanted) - there)
        assert store.check().problems == ()


def slowed(run, say):
    """A store's `run`, which says that it ran; the eleventh never comes back."""
    runs = itertools.count()

    def slow(*args, **options):
        done = run(*args, **options)
        say("ran")
        if next(runs) == 10:
            time.sleep(60)
        return done

    return slow


def test_a_server_that_goes_away_ends_the_import_and_the_next_goes_on(
    store, file, monkeypatch
):
    monkeypatch.setattr(langgraph_threads, "BATCH_MESSAGES", 2)
    with theirs_in("postgres", file) as (theirs, url):
        put(theirs, "ada", *(step(n, said("x")) for n in range(1, 6)))
        wanted = listed(theirs)
        run = store.run

        def cut_off(*args, **options):
            theirs.conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'holdfast import'"
            )
            return run(*args, **options)

        store.run = cut_off
        with pytest.raises(Unreachable, match="what was taken in before stays"):
            import_langgraph(store, url)
        store.run = run
        assert len(listed(HoldfastSaver(store))) == 2
        assert import_langgraph(store, url).set_aside == ()
    assert listed(HoldfastSaver(store)) == wanted


def test_rows_without_ids_stay_and_are_told(store, file):
    with theirs_in("postgres", file) as (theirs, url):
        put(theirs, "ada", step(1, said("x")))
        for column in ("checkpoint_id", "parent_checkpoint_id"):
            theirs.conn.execute(f"alter table checkpoints drop column {column} cascade")
        report = import_langgraph(store, url)
    assert [one.position for one in report.set_aside] == ["checkpoints"]
    assert store.moment() == 0


def test_a_damaged_page_costs_what_is_on_it(store, file):
    with theirs_in("sqlite", file) as (theirs, _):
        for name in ("ada", "bob"):
            put(theirs, name, *(step(n, said("y" * 900)) for n in range(1, 40)))
    change(file, ("pragma journal_mode = delete",))
    change(file, ("vacuum",))
    data = bytearray(file.read_bytes())
    place = data.index(b"yyyy", len(data) // 2) // 4096 * 4096
    data[place : place + 8] = b"\xff" * 8
    file.write_bytes(data)
    report = import_langgraph(store, file)
    assert report.set_aside
    assert all("malformed" in one.reason for one in report.set_aside)
    (found, added) = counts(report)["checkpoint"]
    assert 20 < found == added < 78


def embed(texts):
    return [[float(len(text)), 1.5] for text in texts]


INDEX = {"dims": 2, "embed": embed, "fields": ["text"]}
ITEMS = {
    (("users", "ada"), "tea"): {"text": "green", "n": 1},
    (("users", "ada"), "coffee"): {"text": "none at all"},
    (("users",), "all"): {"list": [1, None]},
}


def test_items_come_with_vectors_and_times_to_live(store, file):
    with SqliteStore.from_conn_string(str(file)) as theirs:
        theirs.setup()
        theirs.conn.executescript("".join(theirs.VECTOR_MIGRATIONS))
        for (namespace, key), value in ITEMS.items():
            theirs.put(namespace, key, value, ttl=5 if key == "tea" else None)
            if "text" in value:
                (vector,) = embed([value["text"]])
                theirs.conn.execute(
                    "insert into store_vectors values (?, ?, 'text', ?, null, null)",
                    (".".join(namespace), key, serialize_float32(vector)),
                )
        theirs.put(("old",), "gone", {"a": 1}, ttl=1)
    change(file, ("update store set expires_at = '2026-01-01' where prefix = 'old'",))
    change(file, ("insert into store (prefix, key, value) values ('bad', 'x', '[')",))
    change(file, ("insert into store (prefix, key, value) values ('a..b', 'y', '1')",))
    report = import_langgraph(store, file)
    assert {one.position for one in report.set_aside} == {
        "store[bad, x]",
        "store[a..b, y]",
    }
    assert counts(report) == {"item": (3, 3)}
    ours = HoldfastStore(store, index=INDEX)
    for (namespace, key), value in ITEMS.items():
        assert ours.get(namespace, key).value == value
    near = ours.search(("users",), query="green", limit=1)
    assert [(one.key, round(one.score, 6)) for one in near] == [("tea", 1.0)]
    assert store.items.get(("users", "ada"), "tea").ttl_seconds == 300
    assert store.items.get(("users",), "all").ttl_seconds is None


def test_of_two_items_the_later_one_counts(store, file):
    with SqliteStore.from_conn_string(str(file)) as theirs:
        theirs.setup()
        for key in ("a", "b"):
            theirs.put(("n",), key, {"v": 1})
        import_langgraph(store, file)
        store.items.put(["n"], "b", {"v": "mine"})
        theirs.put(("n",), "a", {"v": 2})
    later = "2126-01-01 00:00:00"
    change(file, ("update store set updated_at = ? where key = 'a'", later))
    report = import_langgraph(store, file)
    assert [one.position for one in report.set_aside] == ["store[n, b]"]
    assert counts(report) == {"item": (1, 1)}
    assert store.items.get(["n"], "a").value == {"v": 2}
    assert store.items.get(["n"], "b").value == {"v": "mine"}


def test_items_come_from_postgresql_and_the_command_tells(file, path, capsys):
    with foreign_database() as url:
        with PostgresStore.from_conn_string(url) as theirs:
            theirs.setup()
            for (namespace, key), value in ITEMS.items():
                theirs.put(namespace, key, value)
            theirs.conn.execute(
                "create table store_vectors (prefix text, key text, field_name text,"
                " embedding text)"
            )
            theirs.conn.execute(
                "insert into store_vectors values ('users', 'all', 'text', '[1,0.5]')"
            )
        assert main(["import", "langgraph", url, "--to", path]) == 0
    assert "3 items: 3 added, 0 already there" in capsys.readouterr().out
    with holdfast.open(path) as store:
        for (namespace, key), value in ITEMS.items():
            assert store.items.get(namespace, key).value == value
        assert store.items.nearest(["users"], [1, 0.5])[0].item.key == "all"
    change(file, ("create table threads (id)",))
    assert main(["import", "langgraph", str(file), "--to", path]) == 1
    assert "no checkpoints or items of LangGraph" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "module"), [("langgraph", "langgraph"), ("adk", "google.adk")]
)
def test_without_the_framework_it_says_what_to_install(name, module, tmp_path):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from holdfast.cli import main\n"
        f"sys.exit(main(['import', {name!r}, 'their.db', '--to', 'new.db']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert f'pip install "holdfast[{name}]"'.encode() in done.stderr
    assert b"Traceback" not in done.stderr
    assert not tmp_path.joinpath("new.db").exists()
