"""The frameworks' versions that are tested, and those that are said to be supported."""

import re
import tomllib
from importlib import metadata

import pytest
from packaging.version import Version

import pages

PROJECT = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]
OURS = {
    "cli",
    "cron",
    "dev",
    "diagrams",
    "index",
    "machines",
    "nats",
    "postgres",
    "test",
    "vectors",
}
EXTRAS = sorted(PROJECT["optional-dependencies"].keys() - OURS)
REFERENCE = (pages.ROOT / "docs" / "reference" / "integrations.md").read_text()


def asked(extra):
    """What an extra asks for: names of packages, and the oldest version of each."""
    return [one.split(">=") for one in PROJECT["optional-dependencies"][extra]]


def test_the_oldest_versions_are_tested_and_newer_ones(pytestconfig):
    oldest = {}
    for extra in EXTRAS:
        for name, version in asked(extra):
            oldest.setdefault(name, set()).add(Version(version))
    for name, versions in oldest.items():
        here = Version(metadata.version(name))
        if pytestconfig.getoption("oldest"):
            assert here in versions, name
        else:
            assert here > max(versions), name


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_oldest_versions_are_told(extra):
    (row,) = re.findall(rf"^\| `{extra}` \|.*$", REFERENCE, re.MULTILINE)
    assert all(f"{name} {version}" in row for name, version in asked(extra))
