"""Importing: light, one way, and a public surface that says what each name is."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast import errors

HEAVY = {"asyncio", "rich", "cyclopts", "ijson", "sqlite3", "logging", "numpy"}
DRIVER = {"psycopg", "psycopg_pool", "holdfast.engines.postgres"}
_LOADED = "import json, sys; import {name}; print(json.dumps(sorted(sys.modules)))"
_KEPT = """
import json, sys, holdfast
with holdfast.open(":memory:") as store:
    store.sessions.create()
print(json.dumps(sorted(sys.modules)))
"""
_WITHOUT = """
import sys
sys.modules[{name!r}] = None
import holdfast
try:
    holdfast.open("postgresql://ada:secret@nowhere.invalid/db")
except holdfast.errors.CannotOpen as error:
    print(error)
"""


def in_a_fresh_python(code):
    source = str(Path(holdfast.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout


def test_importing_holdfast_loads_nothing_heavy():
    loaded = set(json.loads(in_a_fresh_python(_LOADED.format(name="holdfast"))))
    there = set(json.loads(in_a_fresh_python(_LOADED.format(name="apsw, msgspec"))))
    assert (loaded - there) & HEAVY == set()
    assert not any(name.startswith("holdfast.cli") for name in loaded)


def test_a_store_on_sqlite_loads_nothing_of_postgresql():
    loaded = set(json.loads(in_a_fresh_python(_KEPT)))
    assert "holdfast.engines.sqlite.engine" in loaded
    assert loaded & DRIVER == set()


@pytest.mark.parametrize("name", ["psycopg", "psycopg_pool"])
def test_a_missing_extra_is_told_with_the_line_that_installs_it(name):
    said = in_a_fresh_python(_WITHOUT.format(name=name))
    assert "pip install 'holdfast[postgres]'" in said
    assert name in said
    assert "secret" not in said


def test_the_public_surface_is_small_and_every_name_says_what_it_is():
    assert len(holdfast.__all__) <= 25
    assert holdfast.__all__ == sorted(set(holdfast.__all__))
    for name in holdfast.__all__:
        said = inspect.getdoc(getattr(holdfast, name))
        assert said, name
        assert said.splitlines()[0][0].isupper(), name


def test_nothing_public_is_left_out_of_the_surface():
    public = {
        name
        for name, value in vars(holdfast).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(holdfast.__all__) - {"errors"}


ERRORS = [
    found
    for found in vars(errors).values()
    if inspect.isclass(found) and issubclass(found, Exception)
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_ours_and_says_what_it_means(error):
    assert issubclass(error, errors.HoldfastError)
    assert error.__doc__ is not None
    assert error.__doc__.endswith(".")


def test_the_tree_at_the_top_of_errors_is_the_tree():
    drawn = []
    for line in errors.__doc__.split("Answers for")[0].splitlines()[2:]:
        name, _, _ = line.strip("│├└─ ").partition(" ")
        if name:
            depth = (len(line) - len(line.lstrip("│├└─ ")) - 4) // 4
            drawn.append((name, depth))
    assert dict(drawn) == {error.__name__: depth_of(error) for error in ERRORS}


def depth_of(error):
    return len([a for a in error.__mro__ if a in ERRORS]) - 1


def test_every_public_operation_has_a_docstring():
    with holdfast.open(":memory:") as store:
        for name, operation in store.operations().items():
            assert operation.function.__doc__, name
