"""The engine's contract suite: every engine keeps it, and it notices who does not.

Also engines of other packages: found by the scheme of a URL, and held to the same.
"""

import gc
import importlib.metadata
import os
import subprocess
import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

import conftest
import holdfast
from broken_engines import BROKEN, Wrapped
from holdfast.engines.postgres.engine import PostgresEngine
from holdfast.engines.sqlite.engine import SqliteEngine
from holdfast.errors import CannotOpen, Refused
from holdfast.testing import EngineContract
from holdfast.testing.work import Place

_PATIENCE_SECONDS = 1.0
"""How long the suite waits for an engine that is broken."""
_NOTICED = (AssertionError, pytest.fail.Exception, TimeoutError, Refused)
"""What the suite fails with; anything else is a mistake in a broken engine."""


def install(monkeypatch, **values):
    """Let it look as if packages were installed that have engines by these names."""
    made = EntryPoints(
        EntryPoint(name.rstrip("_"), value, "holdfast.engines")
        for name, value in values.items()
    )

    def entry_points(**chosen):
        assert chosen == {"group": "holdfast.engines"}
        return made

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


class Another(Wrapped):
    """An engine of somebody else's, which is found by `another://`."""

    def __init__(self, rest, parts, options):
        super().__init__(SqliteEngine(rest, parts, options))


@pytest.fixture(autouse=True)
def nothing_leaks():
    """Looked at once for each engine: collecting garbage takes longer than a test."""


@pytest.fixture(autouse=True, scope="class")
def nothing_leaks_from_an_engine():
    yield
    gc.collect()
    names = [thread.name for thread in threading.enumerate()]
    assert [name for name in names if name.startswith("holdfast-")] == []
    files = conftest._open_files()
    assert [name for name in files if name.endswith((".db", "-wal"))] == []


class TestMemory(EngineContract):
    shared_places = False
    reads_beside_writes = False

    @pytest.fixture
    def target(self):
        return ":memory:"


class TestFile(EngineContract):
    @pytest.fixture
    def target(self, path):
        return path


class TestPostgres(EngineContract):
    @pytest.fixture
    def target(self, tmp_path):
        with conftest.place_on("postgres", tmp_path) as target:
            yield target


class TestAnother(EngineContract):
    @pytest.fixture
    def target(self, monkeypatch, path):
        install(monkeypatch, another=f"{__name__}:Another")
        return f"another://{path}"


# What the suite is worth.


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_an_engine_that_breaks_a_promise_fails_the_test_of_it(
    broken, monkeypatch, tmp_path
):
    """The same test passes on the engine that is behind it."""
    install(monkeypatch, broken=f"{broken.__module__}:{broken.__name__}")
    for name in broken.noticed_by:
        with conftest.place_on(broken.engine, tmp_path / name) as target:
            rest = target.partition("://")[2] or target
            place = Place(f"broken://{rest}", _PATIENCE_SECONDS)
            (tmp_path / name).mkdir()
            try:
                with pytest.raises(_NOTICED):
                    getattr(Contract(), name)(place)
            finally:
                for opened in place.opened:
                    opened.engine.really_close()


class Contract(EngineContract):
    """The suite, for calling its tests one by one."""

    __test__ = False
    patience_seconds = _PATIENCE_SECONDS
    moment_seconds = 20.0


def test_what_an_engine_cannot_have_is_not_collected():
    every = {name for name in dir(EngineContract) if name.startswith("test_")}
    left = {name for name in every if getattr(TestMemory, name) is not None}
    gone = every - left
    assert "test_a_watcher_is_woken_by_another_engine_too" in gone
    assert "test_nobody_sees_a_transaction_before_its_end" in gone
    assert len(left) > 60
    assert all(getattr(TestFile, name) is not None for name in every)


def test_a_suite_that_does_not_say_where_fails_and_says_so(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "from holdfast.testing import EngineContract\n"
        "class TestMine(EngineContract):\n"
        "    pass\n"
    )
    ended = ran(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py", folder=tmp_path
    )
    assert ended.returncode == 1
    assert "override the fixture `target`" in ended.stdout


def test_without_pytest_the_suite_says_what_is_missing():
    code = "import sys; sys.modules['pytest'] = None; import holdfast.testing"
    ended = ran("-c", code)
    assert ended.returncode == 1
    assert "ImportError: holdfast.testing is for tests under pytest" in ended.stderr


def ran(*arguments, folder=None):
    """A Python of its own, at its end."""
    source = str(Path(holdfast.__file__).parents[1])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": source,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer than what runs
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Engines of other packages.


def test_an_engine_is_found_by_its_scheme(monkeypatch, path):
    install(monkeypatch, another=f"{__name__}:Another")
    with holdfast.open(f"another://{path}") as store:
        assert isinstance(store._core.engine, Another)
        assert store.place == path
        assert store.tasks.create("x").id


def test_an_engine_of_ours_is_never_looked_up(monkeypatch, tmp_path, path):
    monkeypatch.setattr(importlib.metadata, "entry_points", None)
    for target in (path, f"sqlite:///{path}", ":memory:"):
        holdfast.open(target).close()
    with (
        conftest.place_on("postgres", tmp_path) as target,
        holdfast.open(target) as store,
    ):
        assert isinstance(store._core.engine, PostgresEngine)


def test_an_unknown_scheme_names_the_known_ones(monkeypatch):
    install(monkeypatch, zebra="a:b", mine="a:b")
    with pytest.raises(CannotOpen) as raised:
        holdfast.open("none://user:secret@somewhere")
    said = str(raised.value)
    assert "none://" in said
    assert "a path, sqlite://, postgresql://, postgres://, mine://, zebra://" in said
    assert "secret" not in said


def test_two_engines_for_one_scheme_are_refused_and_named(monkeypatch):
    install(monkeypatch, mine="one:connect", mine_="two:connect")
    with pytest.raises(CannotOpen, match="one:connect, two:connect"):
        holdfast.open("mine://somewhere")


@pytest.mark.parametrize("value", ["no_such_module:connect", "json:no_such_name"])
def test_an_engine_that_cannot_be_loaded_says_why(monkeypatch, value):
    install(monkeypatch, mine=value)
    with pytest.raises(CannotOpen, match=rf"mine:// \({value}\).*no_such"):
        holdfast.open("mine://somewhere")


def test_an_installed_package_has_its_engine_found(monkeypatch, tmp_path):
    """With nothing patched: what a package says of itself when it is installed."""
    (tmp_path / "installed_engine.py").write_text(
        "from holdfast.engines.sqlite import connect\n"
    )
    said = tmp_path / "installed_engine-1.0.dist-info"
    said.mkdir()
    (said / "METADATA").write_text("Name: installed-engine\nVersion: 1.0\n")
    (said / "entry_points.txt").write_text(
        "[holdfast.engines]\ninstalled = installed_engine:connect\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with holdfast.open(f"installed://{tmp_path}/agent.db") as store:
        assert store.tasks.create("x").id
