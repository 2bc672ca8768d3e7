"""Texts of a configuration: what of one may be shown, and where its keys stand."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast.config.masking import is_secret_name, masked, shown_of
from holdfast.config.toml_lines import line_of, lines_of


@pytest.mark.parametrize("name", [
    "password", "DB_PASSWORD", "apiKey", "api_key", "API-KEY", "accessToken", "token",
    "X-Auth-Token", "client_secret", "privateKey", "pin", "credentials", "passphrase",
    "slack_webhook", "GITHUB_TOKEN", "authorization", "Cookie", "tokens", "githubPAT",
    "storage.account_key", "SECRET", "sslpassword", "authtoken", "clientsecret",
    "OPENAI_KEY", "openai_key", "api_keys", "accessKeys", "dbpasswords", "webhooks",
])  # fmt: skip
def test_names_of_secrets(name):
    assert is_secret_name(name)
    assert masked({name: 1234}) == {name: "***"}
    assert masked({name: ["a", {"b": 1}]}) == {name: "***"}


@pytest.mark.parametrize("name", [
    "max_tokens", "jira_key", "key", "author", "path", "compass", "passenger", "spin",
    "primary_key", "total_tokens", "keyboard", "patch", "tokenizer", "secretary", "",
    "maxtokens", "tokenizers", "sort_keys", "signal",
])  # fmt: skip
def test_names_that_are_none_of_secrets(name):
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://TOKEN@host/x", "https://***@host/x"),
        ("https://a:b@host", "https://***@host"),
        ("postgres://u:p@ss@host/d", "postgres://***@host/d"),
        ("postgres://u:p/w#x?@host/d", "postgres://***@host/d"),
        ("postgres://u:12/34@host/d", "postgres://***@host/d"),
        ("https://host/@scope/pkg", "https://host/@scope/pkg"),
        ("postgres://u:p w@host/d", "postgres://***@host/d"),
        ("ada:hunter2@db.example/agents", "***@db.example/agents"),
        ("ada:hunt@er2@db.example/agents", "***@db.example/agents"),
        ("git@github.com:org/repo", "git@github.com:org/repo"),
        ("python:3.12@sha256:abc", "python:3.12@sha256:abc"),
        ("x=password=hunter2", "x=password=***"),
        ("password='a token=b c' user=x", "password=*** user=x"),
        (r"password='a\' b' user=x", "password=*** user=x"),
        ('{"a": {"pin": "47 11", "b": 1}}', '{"a": {"pin": ***, "b": 1}}'),
        ("user: ada\npassword: a b\nx: 1", "user: ada\npassword: ***\nx: 1"),
        ("X-Api-Key: hunter2", "X-Api-Key: ***"),
        ("https://hooks.slack.com/services/T0/B0", "https://hooks.slack.com/***"),
        ("https://host/x?a=1&token=abc&b=2", "https://host/x?a=1&token=***&b=2"),
        ("https://host/x#access_token=abc", "https://host/x#access_token=***"),
        ("host=h password=hunter2 port=5", "host=h password=*** port=5"),
        ("password='a b' user=x", "password=*** user=x"),
        ("see https://a:b@h and https://c:d@i", "see https://***@h and https://***@i"),
        ("Authorization: Bearer abcdef123", "Authorization: ***"),
        ("curl -H Bearer abcdef123", "curl -H Bearer ***"),
        ("ghp_abcdefgh1234", "***"),
        ("use sk-proj-12345678 now", "use *** now"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", "***"),
        ("nothing to hide", "nothing to hide"),
        ("ada@example.org", "ada@example.org"),
    ],
)
def test_what_of_a_text_is_shown(text, shown):
    assert shown_of(text) == shown


@pytest.mark.parametrize("part", ["a", "a:", "a=", "://", "x://h ", "a b ", '"', "=' ",
                                  "a:b@", "/bot1:", "password='", "x://@"])  # fmt: skip
def test_masking_takes_no_longer_for_a_text_that_was_made_for_it(part):
    """Squared, so many characters would take minutes."""
    shown_of(part * (200_000 // len(part)))


USERS = st.text(st.characters(codec="ascii", exclude_characters="\n\r"), min_size=4)


@given(user=USERS, password=USERS)
@settings(max_examples=200)
def test_whoever_logs_in_by_a_url_is_not_seen(user, password):
    login = f"{user}:{password}"
    assume("://" not in login)  # that is another URL's beginning
    shown = shown_of(f"postgresql://{login}@db.example/d")
    assert shown == "postgresql://***@db.example/d"


# Lines


def test_each_key_stands_on_its_line():
    text = (
        'a = """\nx = 1\n[y]\n"""\nb = [ # [[\n  1,\n]\n\n["c d".e]\nf.g = \'#\'\n'
        'h = { i = 1, j = { k = "}" } }\n[[l]]\nm = """a"""""\nn = 2 # "\n[[l]]\no=1\n'
    )
    lines = lines_of(text)
    wanted = {("a",): 1, ("b",): 5, ("c d", "e"): 9, ("c d", "e", "f", "g"): 10,
              ("c d", "e", "h", "j", "k"): 11, ("l",): 12, ("l", "m"): 13,
              ("l", "n"): 14, ("l", "o"): 16}  # fmt: skip
    assert wanted.items() <= lines.items()
    assert ("x",) not in lines
    assert line_of(lines, ("a", "z")) == 1
    assert line_of(lines, ("z",)) is None


KEYS = st.sampled_from(["a", "b", '"c d"', "'e'"])
VALUES = st.sampled_from([
    "1", '"x"', "'#'", '"""\nb = 2\n[z]\n"""', "[1,\n2]", "{x=1}", "'''\n[q]\n'''",
    '"\\""', "1979-05-27", "[[1], [\n]]",
])  # fmt: skip


@given(st.lists(st.tuples(KEYS, VALUES, st.booleans()), max_size=8))
def test_lines_are_those_of_the_text_whatever_stands_between(parts):
    text, wanted = "", {}
    for number, (key, value, apart) in enumerate(parts):
        text += '# [note] = "\n\n' if apart else ""
        text += f"[t{number}]\n"
        wanted[f"t{number}", key.strip("\"'")] = text.count("\n") + 1
        text += f"{key} = {value}\n"
    assert wanted.items() <= lines_of(text).items()
