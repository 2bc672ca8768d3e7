"""Configuration: who is strongest counts, each value knows where it came from, and no
secret is seen."""

import argparse
import asyncio
import copy
import json
import logging
import os
import pathlib
import pickle
import traceback

import msgspec
import pytest

import holdfast
from conftest import store_on
from holdfast import config
from holdfast.errors import (
    CannotOpen,
    InvalidConfig,
    Refused,
    TooLarge,
    WrongType,
)

SECRETS = ("hunter2", "s3cr3t-agent", "t0k3n-in-a-url", "918273645", "deep-t0ken",
           "from-a-variable", "from-a-file", "pw-of-a-project")  # fmt: skip
FULL = """\
# what the agents of the backend are told
environment = "test"

[store]
path = "state/agent.db"
durability = "process-crash"
owner = "ada"

[store.limits]
page = 500
event_seconds = 0.5

[agent]
id = "planner"
secret = "s3cr3t-agent"

[account]
mode = "agent"

[projects.backend]
path = "/src/backend"
jira_key = "AAP"
max_tokens = 4096
password = "pw-of-a-project"
repos = [
  { name = "api", token = "deep-t0ken" },
  { name = "ui" },
]

[credentials]
github = "hunter2"
pin = 918273645
jira = { user = "ada", token = "deep-t0ken" }
variable = { env = "ELSEWHERE" }
file = { file = "secrets/file" }

[services]
jira = "https://t0k3n-in-a-url@jira.example/rest"
wiki = "https://wiki.example"
slack_webhook = "https://hooks.example/t0k3n-in-a-url"
"""
ENV = {"ELSEWHERE": "from-a-variable"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a secret in a file, where the program is started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "file").write_text("from-a-file\n")
    return tmp_path


@pytest.fixture
def file(folder):
    """A configuration with a bit of everything."""
    path = folder / "holdfast.toml"
    path.write_text(FULL)
    path.chmod(0o600)
    return path


def loaded(text="", env=(), args=None):
    """What a program is told by a file of this text, and by these variables alone."""
    if text:
        with open("holdfast.toml", "w") as out:
            out.write(text)
    return config.load(env=dict(env), args=args)


def problems(text="", env=(), args=None):
    with pytest.raises(InvalidConfig) as caught:
        loaded(text, env, args)
    assert isinstance(caught.value, holdfast.errors.BadInput)
    return caught.value.problems


def where(found, name):
    (one,) = [one for one in found.settings if one.name == name]
    return one.source.value, one.where


def test_a_file_says_everything(file, folder):
    found = config.load(env=ENV)
    assert found.environment == "test"
    assert found.store.target.reveal() == str(folder / "state" / "agent.db")
    assert found.store.durability == "process-crash"
    assert found.store.owner == "ada"
    assert found.store.limits == holdfast.Limits(page=500, event_seconds=0.5)
    assert (found.agent.id, found.agent.secret.reveal()) == ("planner", "s3cr3t-agent")
    assert (found.account_mode, found.peer_mode) == ("agent", None)
    assert found.project("backend")["path"] == "/src/backend"
    assert found.project("backend")["max_tokens"] == 4096
    assert found.project("backend")["repos"][0]["token"].reveal() == "deep-t0ken"
    assert found.credential("github") == "hunter2"
    assert found.credential("pin") == "918273645"
    assert found.credential("jira.token") == "deep-t0ken"
    assert found.credential("variable") == "from-a-variable"
    assert found.credential("file") == "from-a-file"
    assert found.service("jira") == "https://t0k3n-in-a-url@jira.example/rest"
    assert found.file == str(file)
    assert found.notes == ()


def test_nothing_said_gives_what_is_usual(folder):
    found = loaded()
    assert found.environment == "development"
    assert found.store.target.reveal() == str(folder / "holdfast.db")
    assert found.store.limits == holdfast.Limits()
    assert {one.source for one in found.settings} == {config.Source.DEFAULT}
    assert found.file is None


def test_arguments_go_over_variables_and_these_over_the_file():
    text = '[store]\nowner = "by-file"\n'
    env = {"HOLDFAST_STORE_OWNER": "by-variable"}
    args = ["store.owner=by-argument"]
    assert loaded(text).store.owner == "by-file"
    assert loaded(text, env).store.owner == "by-variable"
    found = loaded(text, env, args)
    assert found.store.owner == "by-argument"
    (setting,) = [one for one in found.settings if one.name == "store.owner"]
    assert (setting.source, setting.where) == ("argument", "argument store.owner")
    assert setting.over == (
        "HOLDFAST_STORE_OWNER: 'by-variable'",
        "holdfast.toml:2: 'by-file'",
    )
    assert where(loaded(text, env), "store.owner")[1] == "HOLDFAST_STORE_OWNER"
    (setting,) = [
        one
        for one in loaded(text, {"HOLDFAST_STORE_OWNER": "by-file"}).settings
        if one.name == "store.owner"
    ]
    assert setting.over == ()  # it says the same


def test_each_setting_of_ours_has_a_variable(file):
    from holdfast.config.names import fixed  # noqa: PLC0415

    texts = {"environment": "test", "path": "x.db", "url": "postgresql://h/d",
             "storage": "postgres", "folder": "f", "durability": "process-crash",
             "migrate": "check", "mode": "agent"}  # fmt: skip
    for name in fixed():
        variable = "HOLDFAST_" + name.upper().replace(".", "_")
        value = texts.get(name.rpartition(".")[2], "7")
        url = {"HOLDFAST_STORE_URL": "postgresql://h/d"} if value == "postgres" else {}
        found = config.load(env={**ENV, **url, variable: value})
        shown = "store" if name.startswith("store.") and name.count(".") == 1 else name
        if name in {"store.durability", "store.migrate", "store.owner"}:
            shown = name
        source, said = where(found, shown)
        assert source == "environment", name
        assert variable in said


def test_lists_of_arguments_and_mappings_of_them_say_the_same():
    flat = ["store.limits.page=5", "agent.id=a", "credentials.x.y=1", "store=s.db"]
    nested = {"store.limits": {"page": 5}, "agent": {"id": "a", "secret": None},
              "credentials": {"x": {"y": 1}}, "store.path": "s.db"}  # fmt: skip
    one, two = loaded(args=flat), loaded(args=nested)
    assert one.as_dict() == two.as_dict()
    assert one.store.limits.page == 5
    assert one.credential("x.y") == two.credential("x.y") == "1"


def test_who_says_the_store_as_a_whole_is_stronger_than_who_says_a_part(folder):
    for args in ({"store": "a.db", "store.path": "b.db"},
                 {"store.path": "b.db", "store": "a.db"}):  # fmt: skip
        assert loaded(args=args).store.place == str(folder / "a.db")


def test_a_project_may_have_dots_in_quotes():
    found = loaded('[projects."a.b"]\nx = 1\n[projects.a]\n"b.x" = 2\n')
    assert found.project("a.b")["x"] == 1
    assert found.project("a")["b.x"] == 2


def test_a_path_may_be_an_argument(folder):
    found = loaded(args={"store": pathlib.Path("a.db")})
    assert found.store.place == str(folder / "a.db")


def test_whatever_a_project_says_can_be_shown():
    text = (
        "[projects.a]\nday = 2026-11-20\nat = 2026-11-20T18:00:00Z\nclock = 07:32:00\n"
    )
    found = loaded(text + "n = 1000000000000000000000000000000\nf = 1.5\nb = true\n")
    assert found.project("a")["day"].isoformat() == "2026-11-20"
    shown = json.loads(json.dumps(found.as_dict()))["projects"]["a"]
    assert shown["day"] == "2026-11-20"
    assert (shown["f"], shown["b"]) == (1.5, True)
    assert msgspec.json.encode(found.settings)


@pytest.mark.parametrize(
    "wrong",
    ["store=x", ["x"], ["=x"], [1], b"a=b", 5, argparse.Namespace(store="x")],
)
def test_arguments_of_another_form_are_refused(wrong):
    with pytest.raises(WrongType, match="args: "):
        loaded(args=wrong)


def test_a_variable_that_is_empty_says_nothing():
    env = {"AGENT_STORAGE": "", "HOLDFAST_STORE": "", "HOLDFAST_CONFIG": ""}
    assert {one.source for one in loaded(env=env).settings} == {"default"}


def test_the_file_is_the_one_that_is_named_or_the_one_that_is_here(folder):
    (folder / "deep").mkdir()
    other = folder / "deep" / "other.toml"
    other.write_text('[store]\npath = "a.db"\n')
    assert loaded().file is None
    found = loaded(env={"HOLDFAST_CONFIG": str(other)})
    assert found.file == str(other)
    assert found.store.place == str(folder / "deep" / "a.db")  # from the file's folder
    found = config.load("deep/other.toml", env={})
    assert found.file == str(other)
    loaded('[store]\npath = "b.db"\n')
    assert loaded().store.place == str(folder / "b.db")
    assert config.load(other, env={}).store.place == str(folder / "deep" / "a.db")


def test_a_path_of_a_variable_begins_where_the_program_was_started(folder, file):
    found = config.load(env={**ENV, "HOLDFAST_STORE": "here.db"})
    assert found.store.place == str(folder / "here.db")
    found = config.load(env={**ENV, "HOLDFAST_STORE": "~/here.db"})
    assert found.store.place == os.path.expanduser("~/here.db")


# Names of older systems


@pytest.mark.parametrize(
    ("env", "place", "said"),
    [
        ({"STATE_PATH": "/var/lib/agent"}, "/var/lib/agent/holdfast.db", "STATE_PATH"),
        ({"AGENT_STORAGE": "in-memory"}, ":memory:", "AGENT_STORAGE"),
        ({"PEER_STORAGE": "in-memory"}, ":memory:", "PEER_STORAGE"),
        ({"AGENT_STORAGE": "in-memory", "PEER_DB_PATH": "/x/s.db"}, ":memory:",
         "AGENT_STORAGE"),
        ({"AGENT_STORAGE": "pglite", "PEER_DB_PATH": "/data/sync.db"}, "/data/sync.db",
         "AGENT_STORAGE, PEER_DB_PATH"),
        ({"PEER_DB_PATH": "/data/sync.db"}, "/data/sync.db", "PEER_DB_PATH"),
        ({"AGENT_STORAGE": "postgres", "PEER_DB_URL": "postgresql://h/d"},
         "postgresql://h/d", "AGENT_STORAGE, PEER_DB_URL"),
        ({"AGENT_STORAGE": "postgres", "PEER_DB_URL": "postgresql://h/d",
          "PEER_DB_PATH": "/x/s.db", "STATE_PATH": "/s"}, "postgresql://h/d",
         "AGENT_STORAGE, PEER_DB_URL"),
        ({"PEER_DB_URL": "postgres://u@h/d"}, "postgres://***@h/d", "PEER_DB_URL"),
        ({"PEER_SYNC_STORAGE": "postgres", "PEER_SYNC_DB_URL": "postgresql://n/d",
          "PEER_STORAGE": "pglite", "PEER_DB_URL": "postgresql://o/d"},
         "postgresql://n/d", "PEER_SYNC_STORAGE, PEER_SYNC_DB_URL"),
        ({"AGENT_STORAGE": "pglite", "STATE_PATH": "/s"}, "/s/holdfast.db",
         "AGENT_STORAGE, STATE_PATH"),
        ({"PEER_DB_PATH": "/p.db", "STATE_PATH": "/s"}, "/p.db", "PEER_DB_PATH"),
        ({"HOLDFAST_STORE": "/h.db", "PEER_DB_URL": "postgresql://h/d",
          "AGENT_STORAGE": "postgres"}, "/h.db", "HOLDFAST_STORE"),
        ({"HOLDFAST_STORE": ":memory:", "PEER_DB_PATH": "/p.db"}, ":memory:",
         "HOLDFAST_STORE"),
        ({"HOLDFAST_STORE": "sqlite:////h.db"}, "/h.db", "HOLDFAST_STORE"),
        ({"HOLDFAST_STORE": "/h.db", "HOLDFAST_STORE_PATH": "/i.db"}, "/h.db",
         "HOLDFAST_STORE"),
    ],
)  # fmt: skip
def test_where_the_store_is_by_the_variables_of_older_systems(env, place, said):
    found = loaded(env=env)
    assert found.store.place == place
    assert where(found, "store") == ("environment", said)


def test_a_stronger_place_passes_over_how_a_weaker_one_is_kept(folder):
    text = '[store]\nstorage = "memory"\n'
    assert loaded(text, {"PEER_DB_PATH": "/p.db"}).store.place == "/p.db"
    text = '[store]\npath = "a.db"\nurl = "postgresql://h/d"\nstorage = "file"\n'
    assert loaded(text).store.place == str(folder / "a.db")
    found = loaded(text, {"AGENT_STORAGE": "postgres"})
    assert found.store.place == "postgresql://h/d"
    assert loaded(text, {}, {"store": "x.db"}).store.place == str(folder / "x.db")


def test_newer_names_win_over_older_and_both_are_named_where_they_differ():
    found = loaded(env={"PEER_ID": "new", "AGENT_ID": "old"})
    assert found.agent.id == "new"
    (note,) = found.notes
    assert "PEER_ID is used" in note
    assert "AGENT_ID" in note
    assert loaded(env={"PEER_ID": "same", "AGENT_ID": "same"}).notes == ()
    env = {"PEER_SECRET": "hunter2", "AGENT_SECRET": "918273645"}
    found = loaded(env=env)
    assert found.agent.secret.reveal() == "hunter2"
    assert "PEER_SECRET" in found.notes[0]
    assert not any(secret in str(found.notes) for secret in SECRETS)
    found = loaded(env={"PEER_STORAGE": "in-memory", "AGENT_STORAGE": "pglite"})
    assert found.store.place == ":memory:"
    assert "AGENT_STORAGE (file) is not used" in found.notes[0]
    assert "PEER_STORAGE (memory)" in found.notes[0]


def test_notes_are_logged(caplog):
    env = {"PEER_SECRET": "hunter2", "AGENT_SECRET": "918273645", "HOLDFAST_SEED": "5"}
    found = loaded(env=env)
    assert [record.getMessage() for record in caplog.records] == list(found.notes)
    assert len(found.notes) == 2
    assert {record.name for record in caplog.records} == {"holdfast"}


def test_modes_of_accounts_and_peers_are_understood():
    found = loaded(env={"ACCOUNT_MODE": "human", "PEER_MODE": "sync"})
    assert (found.account_mode, found.peer_mode) == ("human", "sync")


# What cannot be


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('environment = "prod"', "environment (holdfast.toml:1): one of development"),
        ("[store]\ndurability = 1", "store.durability (holdfast.toml:2): one of power"),
        ("[store]\npath = 5", "store.path (holdfast.toml:2): a text is wanted, not a"),
        ('[store]\npath = ""', "store.path (holdfast.toml:2): a text is wanted that"),
        ('[store]\npath = "postgresql://h/d"', "a path is wanted, not a URL"),
        ('[store]\nurl = "agent.db"', "store.url (holdfast.toml:2): a URL is wanted"),
        ('[store]\nurl = "mysql://h/d"', "no engine answers to mysql://"),
        ('[store]\nstorage = "redis"', "one of in-memory, pglite, postgres"),
        ('[store]\nstorage = "postgres"', "nothing says where that is"),
        ('[store]\nowner = "../up"', "store.owner (holdfast.toml:2): '../up' is not"),
        ('[agent]\nid = ""', "agent.id (holdfast.toml:2): an id has 1 to 200"),
        ("[agent]\nsecret = [1]", "agent.secret (holdfast.toml:2): a text is wanted"),
        ('[account]\nmode = "robot"', "account.mode (holdfast.toml:2): one of human"),
        ('[peer]\nmode = "robot"', "peer.mode (holdfast.toml:2): one of sync"),
        ("[store.limits]\npage = 0", "store.limits.page (holdfast.toml:2): 1 or more"),
        ("[store.limits]\npage = -5", "store.limits.page (holdfast.toml:2): 1 or more"),
        ("[store.limits]\npage = 1.5", "a whole number is wanted, not float"),
        ("[store.limits]\npage = true", "a whole number is wanted, not bool"),
        ('[store.limits]\npage = "500"', "a whole number is wanted, not str"),
        ("[store.limits]\nvalue_bytes = 9000000000000", "more than 1,000,000,000"),
        ("[store.limits]\nevent_seconds = inf", "more than 100 years"),
        ("[store.limits]\nevent_seconds = nan", "store.limits.event_seconds"),
        ("[store.limits]\npages = 1", "no such setting (did you mean store.limits.pag"),
        ('[store]\ndurabilty = "x"', "(did you mean store.durability?)"),
        ('durability = "x"', "(did you mean store.durability?)"),
        ("[stores]\nx = 1", "stores.x (holdfast.toml:2): there is no such setting"),
        ('projects = "x"', "projects (holdfast.toml:1): a table is wanted, not a val"),
        ("[[projects]]\nx = 1", "projects (holdfast.toml:1): a table is wanted"),
        ("[store]\nlimits = 5", "store.limits (holdfast.toml:2): a table is wanted"),
        ("agent = 5", "agent (holdfast.toml:1): a table is wanted, not a value"),
        ('"store.durability" = "x"', "a dot in quotes is part of a name: leave the q"),
        ('[store]\n"limits.page" = 5', "store.limits.page (holdfast.toml:2): a dot in"),
        ('"store.limits".page = 5', "store.limits.page (holdfast.toml:1): a dot in"),
        (
            '[credentials]\n"a.b" = "x"\na.b = "y"',
            "a.b (holdfast.toml:3): it is said t",
        ),
        (
            '[credentials]\n"" = "x"',
            "credentials. (holdfast.toml:2): a part of its name",
        ),
        ('[store]\npath = " a.db"', "store.path (holdfast.toml:2): a path or a URL is"),
        (
            '[store]\nurl = "sqlite://"',
            "store: holdfast.toml:2: a path is wanted behind",
        ),
        (
            '[store]\npath = "~nobody-99/a.db"',
            "there is no home folder for '~nobody-99/",
        ),
        (
            '[credentials]\nx = { file = "~nobody-99/x" }',
            "which cannot be read (Runtime",
        ),
        ('[projects]\nbackend = "x"', "a project is a table"),
        ("[credentials]\nx = true", "credentials.x (holdfast.toml:2): a text is want"),
        ("[credentials]\nx = { env = 5 }", "credentials.x (holdfast.toml:2): a text"),
        (
            '[credentials]\nx = { env = "NONE" }',
            "it is to be in the variable NONE, which is not set",
        ),
        ('[credentials]\nx = { file = "none" }', "none, which is no file, or too long"),
        ("[services]\nx = 5", "services.x (holdfast.toml:2): a text is wanted"),
        ("[x\n", "holdfast.toml:1: this is not TOML"),
        ('a = "\n', "holdfast.toml:1: this is not TOML"),
        ("[store]\nx = 1\nx = 2", "holdfast.toml:3: this is not TOML"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name_and_its_line(line, said):
    (problem,) = problems(line)
    assert said in problem


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"AGENT_STORAGE": "redis"}, "store.storage (AGENT_STORAGE): one of in-memory"),
        ({"AGENT_STORAGE": "postgres"}, "AGENT_STORAGE says postgres, and nothing"),
        ({"AGENT_STORAGE": "postgres", "PEER_DB_URL": "sqlite:///a.db"},
         "AGENT_STORAGE says postgres, and nothing says"),
        ({"AGENT_STORAGE": "postgres", "PEER_DB_URL": "mysql://h/d"},
         "AGENT_STORAGE says postgres, and nothing says"),
        ({"PEER_DB_URL": "x"}, "store.url (PEER_DB_URL): a URL is wanted"),
        ({"PEER_DB_PATH": "a.db", "PEER_DB_URL": "postgresql://h/d"},
         "PEER_DB_PATH says that it is a file, and PEER_DB_URL that it is on a server"),
        ({"ACCOUNT_MODE": "AGENT"}, "account.mode (ACCOUNT_MODE): one of human, agent"),
        ({"AGENT_ID": "a/b"}, "agent.id (AGENT_ID): 'a/b' is not safe as an id"),
        ({"HOLDFAST_STORE_LIMITS_PAGE": "many"}, "a whole number is wanted; it says"),
        ({"HOLDFAST_STORE_LIMITS_PAGE": "5_0"}, "a whole number is wanted"),
        ({"HOLDFAST_STORE_LIMITS_EVENT_SECONDS": "nan"}, "a number is wanted"),
        ({"HOLDFAST_STORE_LIMITS_EVENT_SECONDS": "1e300"}, "more than 100 years"),
        ({"HOLDFAST_ENVIROMENT": "production"}, "did you mean HOLDFAST_ENVIRONMENT?"),
        ({"HOLDFAST_DURABILITY": "x"}, "did you mean HOLDFAST_STORE_DURABILITY?"),
        ({"STATE_PATH": ":memory:"}, "store.folder (STATE_PATH): a folder is wanted"),
        ({"HOLDFAST_STORE": " :memory: "}, "(HOLDFAST_STORE): a path or a URL is want"),
        ({"AGENT_SECRET": "\udcff"}, "agent.secret (AGENT_SECRET): it has bytes that"),
        ({"HOLDFAST_SERVICES_\udcff": "x"}, "services.? (HOLDFAST_SERVICES_?): it has"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_the_variable(env, said):
    (problem,) = problems(env=env)
    assert said in problem


def test_a_secret_from_elsewhere_that_is_no_text_is_refused():
    (problem,) = problems('[credentials]\nx = { env = "X" }', {"X": "\udcff"})
    assert (
        "credentials.x (holdfast.toml:2): a text is wanted, and this is not" in problem
    )


def test_all_that_is_wrong_is_told_at_once():
    text = '[store]\ndurability = "x"\n[store.limits]\npage = 0\n'
    with pytest.raises(InvalidConfig) as caught:
        loaded(text, {"AGENT_STORAGE": "x"}, ["peer.mode=x"])
    assert str(caught.value).startswith("4 settings cannot be taken:\n  ")
    assert len(caught.value.problems) == 4


def test_a_variable_of_ours_that_is_none_is_told_of():
    assert loaded(env={"HOLDFAST_SEED": "5"}).notes == (
        "HOLDFAST_SEED is no setting, and is not used",
    )


@pytest.mark.parametrize("env", [
    {"AGENT_STORAGE": "in-memory"}, {"PEER_STORAGE": "in-memory"},
    {"HOLDFAST_STORE": ":memory:"}, {"HOLDFAST_STORE": "sqlite:///:memory:"},
    {"HOLDFAST_STORE_PATH": ":memory:"}, {"HOLDFAST_STORE_STORAGE": "memory"},
    {"PEER_DB_PATH": ":memory:"},
])  # fmt: skip
def test_in_memory_is_refused_where_production_is_declared(env):
    (name,) = env
    declared = {"HOLDFAST_ENVIRONMENT": "production"}
    (problem,) = problems(env={**env, **declared})
    assert f"store ({name}): in memory is refused where production" in problem
    assert "HOLDFAST_ENVIRONMENT" in problem
    (problem,) = problems('environment = "production"\n', env)
    assert "declared (holdfast.toml:1)" in problem
    for other in ("development", "test"):
        loaded('environment = "development"\n', {**env, "HOLDFAST_ENVIRONMENT": other})
    loaded(env={**declared, "PEER_DB_PATH": "a.db"})
    with pytest.raises(InvalidConfig):  # whoever asks for it
        loaded(env=declared, args={"store": ":memory:"})


def test_a_store_that_the_environment_names_is_not_in_memory_in_production(
    monkeypatch,
):
    monkeypatch.setenv("HOLDFAST_STORE", ":memory:")
    for declared in ("production", "prod"):
        monkeypatch.setenv("HOLDFAST_ENVIRONMENT", declared)
        with pytest.raises(InvalidConfig, match="HOLDFAST_STORE: in memory is refused"):
            holdfast.open()
        with pytest.raises(InvalidConfig, match=f"HOLDFAST_ENVIRONMENT={declared}"):
            asyncio.run(_opened(holdfast.aopen()))
    holdfast.open(":memory:").close()  # who writes this means it
    monkeypatch.setenv("HOLDFAST_ENVIRONMENT", "test")
    holdfast.open().close()


async def _opened(opening):
    await opening


def test_files_that_are_none_are_refused_by_name(folder):
    for wrong in (5, b"holdfast.toml"):
        with pytest.raises(WrongType, match="path: a path is wanted"):
            config.load(wrong, env={})
    for name in ("~nobody-99/x.toml", "a\0b"):
        with pytest.raises(CannotOpen, match="no such home folder|no file can be"):
            config.load(name, env={})
    with pytest.raises(CannotOpen, match=r"nowhere\.toml: the configuration cannot"):
        config.load("nowhere.toml", env={})
    with pytest.raises(CannotOpen, match=r"nowhere\.toml"):
        config.load(env={"HOLDFAST_CONFIG": "nowhere.toml"})
    with pytest.raises(CannotOpen, match="no plain file"):
        config.load(folder, env={})
    os.mkfifo(folder / "pipe")
    with pytest.raises(CannotOpen, match="no plain file"):
        config.load("pipe", env={})
    (folder / "bytes.toml").write_bytes(b'# \n\xff = "x"\n')
    with pytest.raises(InvalidConfig, match=r"bytes\.toml:2: this is not UTF-8"):
        config.load("bytes.toml", env={})
    (folder / "long.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(InvalidConfig, match="longer than 1,000,000"):
        config.load("long.toml", env={})
    (folder / "deep.toml").write_text("x = " + "[" * 2_500 + "]" * 2_500)
    with pytest.raises(InvalidConfig, match="nested too deeply"):
        config.load("deep.toml", env={})
    (folder / "deep.toml").write_text("projects." + "a." * 2_500 + "b = 1")
    with pytest.raises(InvalidConfig, match="nested too deeply"):
        config.load("deep.toml", env={})


def test_a_folder_that_is_gone_is_told_of(folder, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    for args in (None, {"store": "a.db"}):
        with pytest.raises(CannotOpen, match="the folder that this program is in"):
            config.load(env={}, args=args)


def test_a_file_with_a_mark_of_its_bytes_and_carriage_returns_is_read(folder):
    (folder / "holdfast.toml").write_bytes(
        b'\xef\xbb\xbf[store]\r\nowner = "ada"\r\ndurability = "x"\r\n'
    )
    with pytest.raises(InvalidConfig, match=r"holdfast\.toml:3"):
        config.load(env={})


# Secrets


def everything_shown(found):
    """Each form in which a configuration may come before somebody's eyes."""
    yield from (
        repr(found),
        str(found),
        f"{found}",
        f"{found:}",
        json.dumps(found.as_dict()),
    )
    for part in (found.store, found.agent, found.credentials, found.services,
                 found.projects, found.settings, found.notes):  # fmt: skip
        yield from (repr(part), str(part))
    yield msgspec.json.encode(found, enc_hook=str).decode()
    yield msgspec.json.encode(found.settings).decode()
    yield repr(msgspec.structs.asdict(found))
    record = logging.LogRecord("x", 1, "f", 1, "%s %r", (found, found.agent), None)
    yield record.getMessage()
    try:
        raise RuntimeError(found, found.agent, dict(found.credentials))  # noqa: TRY301
    except RuntimeError:
        yield traceback.format_exc()


def test_no_secret_is_seen_in_any_form(file):
    url = {"HOLDFAST_STORE": "postgresql://ada:hunter2@h/d?sslpassword=918273645"}
    env = {**ENV, **url, "AGENT_SECRET": "hunter2", "PEER_SECRET": "918273645"}
    for found in (config.load(env=ENV), config.load(env=env)):
        for shown in everything_shown(found):
            assert not any(secret in shown for secret in SECRETS), shown
    assert found.store.place == "postgresql://***@h/d?sslpassword=***"
    assert found.store.target.reveal() == url["HOLDFAST_STORE"]
    weaker = {"PEER_DB_URL": "postgresql://ada:hunter2@h/d", "HOLDFAST_STORE": "a.db"}
    found = config.load(env={**ENV, **weaker})
    for shown in everything_shown(found):
        assert not any(secret in shown for secret in SECRETS), shown
    assert "PEER_DB_URL (postgresql://***@h/d) is not used" in found.notes[0]


def test_no_error_has_a_secret(folder):
    (folder / "s").write_bytes(b"hunter2\xff")
    (folder / "long").write_bytes(b"x" * 200_000)
    wrong = [
        ('[agent]\nsecret = ["hunter2"]', {}),
        ('[credentials]\nx = ["hunter2"]', {}),
        ('[credentials]\nx = "hunter2\\u0000"', {}),
        ('[services]\nx = "hunter2\\u0000"', {}),
        ('[credentials]\nx = { file = "s" }', {}),
        ('[credentials]\nx = { file = "long" }', {}),
        ('[projects]\ntoken = "hunter2"', {}),
        ('[credentials]\nx = "hunter2', {}),
        ('[stores]\npassword = "hunter2"', {}),
        ("", {"PEER_DB_URL": "mysql://ada:hunter2@h/d"}),
        ("", {"PEER_DB_PATH": "postgresql://ada:hunter2@h/d"}),
        ("", {"PEER_DB_URL": "postgresql://ada:hunter2@h", "PEER_DB_PATH": "x"}),
        ("", {"AGENT_STORAGE": "postgresql://ada:hunter2@h/d"}),
        ("", {"AGENT_STORAGE": "in-memory", "HOLDFAST_ENVIRONMENT": "production",
              "PEER_DB_URL": "postgresql://ada:hunter2@h"}),
    ]  # fmt: skip
    for text, env in wrong:
        (folder / "holdfast.toml").write_text(text)
        for problem in problems(env=env):
            assert "hunter2" not in problem


@pytest.mark.parametrize("name", ["AGENT_ID", "HOLDFAST_STORE_OWNER"])
def test_no_error_has_a_secret_that_was_put_into_a_wrong_variable(name):
    (problem,) = problems(env={name: "https://hunter2@h/x"})
    assert f"({name}): 'https://***@h/x' is not safe as an id" in problem


def test_a_secret_is_equal_by_what_it_holds_and_is_neither_copied_nor_pickled(file):
    one, two = config.Secret("hunter2"), config.Secret("hunter2")
    assert one == two
    assert hash(one) == hash(two)
    assert one != config.Secret("hunter3")
    assert one != "hunter2"
    assert copy.deepcopy({"a": one})["a"] is one
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(one)
    with pytest.raises(TypeError):
        json.dumps({"a": one})
    with pytest.raises(TypeError):
        msgspec.json.encode(one)


def test_a_file_that_others_may_read_is_told_of(file):
    for mode in (0o640, 0o604):
        file.chmod(mode)
        (note,) = config.load(env=ENV).notes
        assert "others may read it: chmod 600" in note
    file.write_text('[credentials]\nx = { env = "ELSEWHERE" }\n')
    assert config.load(env=ENV).notes == ()
    assert config.load(env={**ENV, "AGENT_SECRET": "x"}).notes == ()  # not in the file
    for text in (
        '[projects.a]\npassword = "x"\n',
        '[projects.a]\nrepos = [{ token = "x" }]\n',
        '[services]\nx = "https://token@h"\n',
        '[store]\nurl = "postgresql://ada:hunter2@h/d"\n',
    ):
        file.write_text(text)
        assert len(config.load(env=ENV).notes) == 1


def test_a_credential_of_the_file_can_be_said_by_a_variable(file):
    env = {
        **ENV,
        "HOLDFAST_CREDENTIALS_JIRA_TOKEN": "other",
        "HOLDFAST_CREDENTIALS_NEW": "new",
        "HOLDFAST_SERVICES_WIKI": "http://w",
    }
    found = config.load(env=env)
    assert found.credential("jira.token") == "other"
    assert found.credential("jira.user") == "ada"
    assert found.credential("new") == "new"
    assert found.service("wiki") == "http://w"
    assert where(found, "credentials.jira.token")[1].endswith("JIRA_TOKEN")
    env["HOLDFAST_CREDENTIALS_GIT_LAB"] = "variable"
    found = config.load(env=env, args=["credentials.git.lab=argument"])
    assert found.credential("git.lab") == "argument"
    assert "git_lab" not in found.credentials


def test_a_secret_elsewhere_is_not_looked_for_where_another_counts():
    text = '[credentials]\nx = { env = "NOT_SET" }\ny = { file = "nowhere" }\n'
    env = {"HOLDFAST_CREDENTIALS_X": "one", "HOLDFAST_CREDENTIALS_Y": "two"}
    found = loaded(text, env)
    assert (found.credential("x"), found.credential("y")) == ("one", "two")
    over = {one.name: one.over for one in found.settings}
    assert over["credentials.x"] == ("holdfast.toml:2: '{ env = \"NOT_SET\" }'",)


# What it is then


def test_a_configuration_never_changes(file):
    found = config.load(env=ENV)
    with pytest.raises(AttributeError):
        found.environment = "production"
    with pytest.raises(AttributeError):
        found.store.owner = "bob"
    with pytest.raises(TypeError):
        found.credentials["github"] = "x"
    with pytest.raises(TypeError):
        found.projects["backend"]["path"] = "/x"
    with pytest.raises(TypeError):
        found.projects["backend"]["repos"][0]["name"] = "x"
    file.write_text("")
    assert found.credential("github") == "hunter2"


def test_what_is_not_configured_is_refused_by_name(file):
    found = config.load(env=ENV)
    with pytest.raises(
        Refused, match=r"services\.git is not configured \(there are: j"
    ):
        found.service("git")
    with pytest.raises(Refused, match=r"credentials\.git is not configured"):
        found.credential("git")
    with pytest.raises(Refused, match=r"there are: none"):
        loaded('environment = "test"').project("x")


def test_a_store_is_opened_by_it(folder):
    text = '[store]\npath = "a.db"\nowner = "ada"\nlimits = { page = 3 }\n'
    found = loaded(text)
    with found.open() as store:
        store.sessions.create("hers", id="s")
        assert (store.owner, store.place) == ("ada", str(folder / "a.db"))
        with pytest.raises(TooLarge, match="limits.page"):
            store.sessions.list(limit=4)
    with holdfast.open(found, owner="bob", limits=holdfast.Limits(page=5)) as store:
        assert store.owner == "bob"
        assert list(store.sessions.list(limit=4)) == []

    async def look():
        async with holdfast.aopen(found) as store, found.aopen() as again:
            assert (await store.sessions.get("s")).title == "hers"
            assert (await again.sessions.get("s")).title == "hers"

    asyncio.run(look())


def test_a_store_on_a_server_is_opened_by_its_older_names():
    with store_on("postgres", pathlib.Path()) as url:
        found = loaded(env={"AGENT_STORAGE": "postgres", "PEER_DB_URL": url})
        with found.open() as store, holdfast.open(url) as same:
            store.tasks.create("do", id="t")
            assert same.tasks.get("t").description == "do"


def test_how_durable_a_store_is_and_whether_it_migrates_is_taken_from_it(folder):
    with loaded(
        '[store]\npath = "a.db"\ndurability = "process-crash"\n'
    ).open() as store:
        assert store._core.engine._options.durability == "process-crash"
    with holdfast.open(loaded(), durability="power-loss", migrate="check") as store:
        options = store._core.engine._options
        assert (options.durability, options.migrate) == ("power-loss", "check")


def test_loading_reads_no_variable_but_those_it_was_given(file, monkeypatch):
    monkeypatch.setenv("HOLDFAST_STORE_OWNER", "bob")
    assert config.load(env=ENV).store.owner == "ada"
    monkeypatch.setenv("ELSEWHERE", "x")
    assert config.load().store.owner == "bob"
