"""What every test stands on: stores of every kind and face, looked over at the end."""

import asyncio
import gc
import os
import re
import shutil
import signal
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import holdfast
from driving import Driven
from holdfast.clock import ManualClock
from postgres import empty_store, fresh_schema

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell's background job is started with Ctrl-C ignored, and tests try Ctrl-C."""
ENGINES = ("memory", "file", "postgres")
FACES = ("sync", "async")
PAIRS = [(engine, face) for engine in ENGINES for face in FACES]
IN_MEMORY = "/dev/shm"
ROOM_BYTES = 3 << 30
OLD_WARNINGS = (
    "ignore:BaseAgentConfig is deprecated:DeprecationWarning",  # google-adk 2.2
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say what `--oldest` is."""
    parser.addoption(
        "--oldest",
        action="store_true",
        help="the frameworks' oldest supported versions are here; on files only",
    )
    parser.addoption(
        "--every-face",
        action="store_true",
        help="each test on each engine through both faces, and not through one of them",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep tests' files in memory if there is room; nothing of them outlives power.

    With `--oldest`, try less by chance, and bear what old versions warn of. How long an
    example takes says how busy the machine is, and nothing of what is tested.
    """
    settings.register_profile(
        "holdfast", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("holdfast")
    if "TMPDIR" not in os.environ and _room_in(IN_MEMORY) > ROOM_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = IN_MEMORY
    if config.getoption("oldest"):
        settings.register_profile(
            "oldest", settings.get_profile("holdfast"), max_examples=10
        )
        settings.load_profile("oldest")
        for warning in OLD_WARNINGS:
            config.addinivalue_line("filterwarnings", warning)


def _room_in(folder: str) -> int:
    """How many bytes fit into a folder, if it can be written to."""
    return shutil.disk_usage(folder).free if os.access(folder, os.W_OK) else 0


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Through one face for each engine; with `--oldest`, what old versions can do."""
    if not config.getoption("every_face"):
        pairs = Counter(_apart(item)[0] for item in items)
        whole = {name for name, count in pairs.items() if count == len(PAIRS)}
        _keep(config, items, [item for item in items if _has_its_turn(item, whole)])
    if config.getoption("oldest"):
        files = [i for i in items if not set(_words(i)) & {"memory", "postgres"}]
        _keep(config, items, files)
        for item in items:
            for newer in item.iter_markers("newer"):
                item.add_marker(pytest.mark.skip(reason=f"needs {newer.args[0]}"))


def _keep(
    config: pytest.Config, items: list[pytest.Item], kept: list[pytest.Item]
) -> None:
    ids = {id(item) for item in kept}
    config.hook.pytest_deselected(items=[i for i in items if id(i) not in ids])
    items[:] = kept


def _has_its_turn(item: pytest.Item, whole: set[str]) -> bool:
    """Whether this test takes this face on this engine, by its name.

    Each takes every engine and both faces, and half of the tests the three pairs that
    the other half leaves: docs/decisions/0050. Who chose some pairs takes all of them.
    """
    name, pair = _apart(item)
    if pair is None or name not in whole:
        return True
    turn = zlib.crc32(name.encode()) + ENGINES.index(pair[0])
    return FACES[turn % 2] == pair[1]


def _apart(item: pytest.Item) -> tuple[str, tuple[str, str] | None]:
    """What a test is without its engine and face, and these two, if it has them."""
    callspec = getattr(item, "callspec", None)
    pair = callspec.params.get("store") if callspec else None
    if pair not in PAIRS:
        return item.nodeid, None
    return item.nodeid.replace("-".join(pair), "", 1), pair


def _words(item: pytest.Item) -> list[str]:
    """The words by which a test's parameters are told."""
    return re.split(r"\W", item.name.partition("[")[2])


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands until a test moves it."""
    return ManualClock()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop for the async face."""
    made = asyncio.new_event_loop()
    yield made
    made.run_until_complete(made.shutdown_asyncgens())
    made.run_until_complete(made.shutdown_default_executor())
    made.close()


@pytest.fixture(params=PAIRS, ids="-".join)
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: ManualClock,
    loop: asyncio.AbstractEventLoop,
) -> Iterator[Any]:
    """A store on each engine, through each face; sound, and tidied away, at the end."""
    engine, face = request.param
    with store_on(engine, tmp_path) as target:
        opened = holdfast.open(target, clock=clock)
        yield opened if face == "sync" else Driven(opened.aio, loop)
        report = opened.check()
        opened.close()
        assert report.problems == ()


@contextmanager
def place_on(engine: str, folder: Path) -> Iterator[str]:
    """A target on an engine, where no store is yet."""
    if engine == "memory":
        yield ":memory:"
    elif engine == "file":
        yield str(folder / "agent.db")
    else:
        with fresh_schema() as url:
            yield url


def store_on(engine: str, folder: Path) -> AbstractContextManager[str]:
    """A target on an engine, where a store may be already, if nothing is in it."""
    return empty_store() if engine == "postgres" else place_on(engine, folder)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a store may be made."""
    return str(tmp_path / "agent.db")


@pytest.fixture
def talk(path: str) -> Iterator[holdfast.Store]:
    """A store with a session `talk`, for tests that may close it by themselves."""
    store = holdfast.open(path)
    store.sessions.create(id="talk")
    yield store
    store.close()
    with holdfast.open(path) as store:
        assert store.check().problems == ()


@pytest.fixture
def open_store(path: str) -> Iterator[Callable[..., holdfast.Store]]:
    """Opens stores on one file, any number of times; each is closed at the end."""
    opened: list[holdfast.Store] = []

    def open_one(**options: Any) -> holdfast.Store:
        opened.append(holdfast.open(path, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
    with holdfast.open(path) as last:
        assert last.check().problems == ()


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """No test leaves a thread of holdfast's, or an open store's file, behind.

    What was there before is not looked through again: it takes longer than most tests.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.collect()
    ours = [t.name for t in threading.enumerate() if t.name.startswith("holdfast-")]
    assert ours == []
    assert [name for name in _open_files() if name.endswith((".db", "-wal"))] == []


def _open_files() -> list[str]:
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        return []
    found = []
    for number in os.listdir(folder):
        try:
            name = os.readlink(f"{folder}/{number}")
            found.append(name.removesuffix(" (deleted)"))  # with its test's folder
        except OSError:
            continue
    return found
