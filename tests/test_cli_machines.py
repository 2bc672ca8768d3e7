"""Machines on the command line: lists, pages, diagrams, pictures."""

import json
import sys
import xml.etree.ElementTree as ET

import pytest
from rich.cells import cell_len

import holdfast
from holdfast.cli import main

ORDER = {
    "initial": "placed",
    "states": {
        "placed": {
            "entry": {"tool": "mail"},
            "on": {"PAY": "paid", "NOTE": {"target": "placed"}},
        },
        "paid": {"on": {"SHIP": "shipped"}},
        "shipped": {},
    },
}
ODD = {
    "initial": "状" * 40,
    "states": {"状" * 40: {"on": {"GO: <b>": "-->"}}, "-->": {}},
}
LONG = "o" * 190


def fill(store):
    """Machines in several states: long ids, wide characters, texts up to no good."""
    define, create, send = (
        getattr(store.machines, name) for name in ("define", "create", "send")
    )
    define("order", ORDER, effects=["mail"])
    define("状態/odd", ODD)
    create("order", id="one", context={"note": "\x1b[31m" + "long " * 100})
    create("order", id="two")
    create("状態/odd", id=LONG)
    send("one", "NOTE")
    send("one", "PAY")
    send(LONG, "GO: <b>")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store that tests only look at."""
    path = tmp_path_factory.mktemp("machines") / "store.db"
    with holdfast.open(path) as store:
        fill(store)
        hers = store.owned_by("ada").machines
        hers.define("order", ORDER, effects=["mail"])
        hers.create("order", id="hers")
    return path


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run a command in this process: its status, its output, its errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        out, errors = capfdbinary.readouterr()
        return status, out.decode(), errors.decode()

    return run


def listed(run, *arguments):
    """The ids that a list has, with --json."""
    found = json.loads(run("machines", *arguments, "--json")[1])["machines"]
    return [machine["id"] for machine in found]


def looks(path):
    return [
        ["machines", path],
        ["machines", path, "--owner", "ada"],
        *(["machines", "show", path, id] for id in ("one", "hers", LONG)),
        ["machines", "show", path, "one", "--full"],
        ["show", path, "machine", "one"],
    ]


def test_every_look_fits_into_80_columns_and_steers_no_terminal(filled, run):
    for command in looks(filled):
        status, out, errors = run(*command)
        assert (status, errors) == (0, ""), command
        assert max(map(cell_len, out.splitlines())) <= 80, command
        assert all(char.isprintable() or char == "\n" for char in out), command
        assert isinstance(json.loads(run(*command, "--json")[1]), dict)


def test_a_list_tells_version_state_steps_and_since_when(filled, run):
    lines = run("machines", filled, "--name", "order")[1].splitlines()
    assert lines[0].split() == ["machine", "owner", "state", "steps", "since", "(UTC)"]
    assert [line.split()[:6] for line in lines[1::2]] == [
        ["order", "version", "1", "-", "placed", "0"],
        ["order", "version", "1", "-", "paid", "2"],
        ["order", "version", "1", "ada", "placed", "0"],
    ]
    assert [line.strip() for line in lines[2::2]] == ["two", "one", "hers"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["--name", "order"], ["two", "one", "hers"]),
        (["--name", "order", "--state", "paid"], ["one"]),
        (["--owner", "ada"], ["hers"]),
        (["--name", "none"], []),
        (["--limit", "1"], [LONG]),
    ],
)
def test_machines_can_be_chosen(wanted, found, filled, run):
    assert listed(run, filled, *wanted) == found


def test_a_state_is_one_of_a_definition(filled, run):
    status, _, errors = run("machines", filled, "--state", "paid")
    assert (status, errors.startswith("holdfast: ")) == (1, True)


def test_pages_of_machines_lead_on(filled, run):
    seen, cursor = [], []
    while True:
        command = ["machines", filled, "--limit", 2, *cursor]
        page = json.loads(run(*command, "--json")[1])
        seen += [machine["id"] for machine in page["machines"]]
        assert ("--cursor" in run(*command)[1]) == (page["cursor"] is not None)
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]
    assert seen == listed(run, filled) == [LONG, "two", "one", "hers"]


def test_show_tells_state_context_and_the_last_steps(filled, run):
    out = run("machines", "show", filled, "one")[1]
    assert run("show", filled, "machine", "one")[1] == out
    assert ["state", "paid"] in [line.split() for line in out.splitlines()]
    assert '{"note":"' in out
    last = out.partition("\nlast steps\n")[2].splitlines()
    assert [line.split()[3:] for line in last] == [
        ["began", "→", "placed"],
        ["NOTE", "stays", "placed"],
        ["PAY", "→", "paid"],
    ]
    found = json.loads(
        run("machines", "show", filled, "one", "--limit", 2, "--json")[1]
    )
    assert [step["position"] for step in found["steps"]] == [1, 2]
    assert (found["machine"]["state"], "diagram" in found) == ("paid", False)


def test_a_machine_is_shown_as_it_was(tmp_path, run):
    path = tmp_path / "store.db"
    with holdfast.open(path) as store:
        fill(store)
        then = store.moment()
        store.machines.send("one", "SHIP")
    page = run("machines", "show", path, "one", "--as-of", then)[1]
    assert page.startswith(f"as of moment {then}")
    assert ("paid" in page, "shipped" in page) == (True, False)
    _, out, errors = run("machines", "show", path, "one", "--as-of", then, "--diagram")
    assert "class paid present" in out
    assert errors.startswith(f"as of moment {then}")
    assert (
        "class shipped present" in run("machines", "show", path, "one", "--diagram")[1]
    )
    assert listed(run, path, "--as-of", then, "--name", "order", "--state", "paid") == [
        "one"
    ]


def test_a_diagram_is_printed_alone_with_the_way_it_has_gone(filled, run):
    status, out, errors = run("machines", "show", filled, "one", "--diagram")
    assert (status, errors) == (0, "")
    assert out.startswith("stateDiagram-v2\n")
    for line in (
        "placed: entry / mail",
        "placed --> placed: NOTE (1)",
        "placed --> paid: PAY (2)",
        "paid --> shipped: SHIP",
        "class paid present",
        "class placed visited",
    ):
        assert f"    {line}\n" in out
    command = ["machines", "show", filled, "one", "--diagram", "--json"]
    assert json.loads(run(*command)[1])["diagram"] == out


def test_a_diagram_knows_more_steps_than_are_listed(filled, run):
    command = ["machines", "show", filled, "one", "--diagram", "--limit", 1]
    assert "NOTE (1)" in run(*command)[1]


def test_a_picture_is_a_file_of_the_kind_that_its_name_says(filled, tmp_path, run):
    svg, png = tmp_path / "one.svg", tmp_path / "ONE.PNG"
    for file in (svg, png):
        status, out, errors = run("machines", "show", filled, "one", "--picture", file)
        assert (status, errors) == (0, "")
        assert out.replace("\n", "").endswith(
            f"{file}: order one, version 1, 2 steps".replace("\n", "")
        )
    shown = [text.text for text in ET.parse(svg).iter() if text.tag.endswith("}text")]
    assert {"placed", "paid", "shipped", "NOTE (1)", "PAY (2)", "SHIP"} <= set(shown)
    assert png.read_bytes().startswith(b"\x89PNG")
    found = run("machines", "show", filled, LONG, "--picture", svg, "--json")[1]
    assert json.loads(found)["picture"] == str(svg)


def test_a_picture_that_cannot_be_is_told_with_what_to_do(
    filled, tmp_path, run, monkeypatch
):
    command = ["machines", "show", filled, "one", "--picture"]
    status, _, errors = run(*command, "one.gif")
    assert (status, errors) == (
        1,
        "holdfast: one.gif: a picture's name ends in .svg or .png\n",
    )
    status, _, errors = run(*command, tmp_path / "none" / "one.svg")
    assert (status, errors.count("No such file or directory")) == (1, 1)
    monkeypatch.delitem(sys.modules, "holdfast.cli.machine_pictures", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, errors = run(*command, tmp_path / "one.svg")
    assert status == 1
    assert errors == (
        "holdfast: pictures need matplotlib, which is not installed: "
        "pip install 'holdfast[diagrams]'\n"
    )
    assert run("machines", "show", filled, "one", "--diagram")[0] == 0


def test_a_look_at_machines_creates_nothing(tmp_path, run):
    path = tmp_path / "none.db"
    for command in (["machines", path], ["machines", "show", path, "one"]):
        status, _, errors = run(*command)
        assert (status, errors.startswith("holdfast: ")) == (1, True)
    assert not path.exists()
    with holdfast.open(path):
        pass
    assert run("machines", path)[1] == "no machines\n"
    status, _, errors = run("machines", "show", path, "one")
    assert (status, errors) == (1, "holdfast: there is no machine 'one' here\n")
