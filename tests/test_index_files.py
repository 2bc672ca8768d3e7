"""What a file of a composition may hold: all that is data, and nothing that is not."""

import json
import math
import sys
import threading
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import holdfast
from holdfast import codec
from holdfast.codec import DEEPEST
from holdfast.errors import BrokenFile
from holdfast.kinds.index_records import Dependency
from holdfast.runtime.index import composition_json, composition_yaml
from holdfast.runtime.index.composition_files import draft_in
from holdfast.runtime.index.composition_yaml import read_yaml

LIMITS = holdfast.Limits()
PLENTY = 10**7


def draft(text, path="one.yaml", limits=LIMITS):
    data = text if isinstance(text, bytes) else text.encode()
    return draft_in(data, path, limits)


def refusal(text, path="one.yaml", limits=LIMITS):
    """Why a file is refused, and in which line."""
    with pytest.raises(BrokenFile) as caught:
        draft(text, path, limits)
    return str(caught.value), caught.value.line


def as_json(value):
    return draft(json.dumps(value), "one.json")


def test_what_a_composition_says():
    found = draft(
        "name: agent\nversion: 1.10\ntype: profile\ndescription: It works\n"
        "tags: [a, no, 2024-01-05]\nmetadata: {tags: [b, a], made: 2024-01-05}\n"
        "extends: base@^1.0\nmixins: [tools >=2, '@core/log']\n"
        "dependencies:\n  - plain\n  - {name: dict, version: 1.10}\n"
        "components:\n  - {name: x, composition: part}\n  - inline\n"
    )
    assert (found.name, found.version, found.type) == ("agent", "1.10", "profile")
    assert found.description == "It works"
    assert found.tags == ("a", "no", "2024-01-05", "b")
    assert found.dependencies == (
        Dependency("base", "^1.0"),
        Dependency("tools", ">=2"),
        Dependency("@core/log"),
        Dependency("plain"),
        Dependency("dict", "1.10"),
        Dependency("part"),
    )
    content = codec.decode(found.content)
    assert content["version"] == 1.1
    assert content["tags"] == ["a", False, "2024-01-05"]
    assert content["metadata"]["made"] == "2024-01-05"


@pytest.mark.parametrize(
    ("said", "name", "version"),
    [
        ("base", "base", None),
        ("base@1.2", "base", "1.2"),
        ("base @ 1.2", "base @ 1.2", None),
        ("base>=1.2,<2", "base", ">=1.2,<2"),
        ("base ^1.2", "base", "^1.2"),
        ("base 1.2", "base", "1.2"),
        ("base *", "base", "*"),
        ("@core/db", "@core/db", None),
        ("@core/db@~1", "@core/db", "~1"),
        ("components/core/base", "components/core/base", None),
        ("a name with spaces", "a name with spaces", None),
    ],
)
def test_a_dependency_in_one_text(said, name, version):
    assert as_json({"dependencies": [said]}).dependencies == (
        Dependency(name, version),
    )
    assert as_json({"extends": said}).dependencies == (Dependency(name, version),)


def test_dependencies_by_name_and_each_once():
    found = as_json({"dependencies": {"a": ">=1", "b": None}, "extends": "b"})
    assert found.dependencies == (Dependency("b"), Dependency("a", ">=1"))


def test_what_says_no_name_goes_by_its_files():
    assert draft("{}", "sub/agent.v2.yaml").name == "agent.v2"
    assert draft("name: ~", "agent.yml").name == "agent"
    assert draft("name: 7", "agent.yml").name == "7"
    assert as_json({"name": 1.5, "tags": [True, None, 3]}).tags == ("true", "3")
    assert draft("component_type: persona").type == "persona"
    assert draft("description: [a]\ntype: x").description == ""


@pytest.mark.parametrize(
    ("text", "path", "says", "line"),
    [
        ("", "a.yaml", "holds nothing", None),
        ("null", "a.json", "holds nothing", None),
        ("- a\n- b", "a.yaml", "holds a list", None),
        ("5", "a.json", "holds a single value", None),
        ("a: [1\nb: 2", "a.yaml", "is no YAML", 2),
        ('{"a": 1,\n}', "a.json", "is no JSON", 2),
        ("a: 1\n---\nb: 2", "a.yaml", "is no YAML", 2),
        ("a: 1\nb: 2\na: 3", "a.yaml", "has the key 'a' twice", 3),
        ('{"a": {"b": 1, "b": 2}}', "a.json", "has the key 'b' twice", None),
        ('{"a": 1, "a": "\\u0022\\u0022"}', "a.json", "has the key 'a' twice", None),
        (b"a: \xff", "a.yaml", "is no UTF-8", 1),
        (b'\n\n{"a": "\xff"}', "a.json", "is no UTF-8", 3),
        ('{"a": NaN}', "a.json", "NaN", None),
        ('{"a": 1e999}', "a.json", "holds what JSON cannot", None),
        ("a: .inf", "a.yaml", "holds what JSON cannot", None),
        ('{"a": "\\ud800"}', "a.json", "holds what JSON cannot", None),
        ('{"a": ' + "9" * 5_000 + "}", "a.json", "too long", None),
        ("a: " + "9" * 5_000, "a.yaml", "no int", 1),
        ("name: [a]", "a.yaml", "name: a text is wanted, not a list", None),
        ("name: ' a'", "a.yaml", "name: the text", None),
        ('{"name": "a\\u0000"}', "a.json", "name: the text", None),
        ('{"name": "a\\u200bb"}', "a.json", "name: the text", None),
        ("name: " + "x" * 201, "a.yaml", "more than 200 bytes", None),
        ("version: " + "1" * 65, "a.yaml", "more than 64 bytes", None),
        ("tags: {a: 1}", "a.yaml", "tags: a list is wanted", None),
        ("tags: [[a]]", "a.yaml", "tags: a text is wanted", None),
        (f"tags: {list(range(101))}", "a.yaml", "limits.tags", None),
        ("dependencies: [{version: 1}]", "a.yaml", "a dependency has a name", None),
        ("dependencies: {a: '>='}", "a.yaml", "says no versions", None),
        ("dependencies: [a@^draft]", "a.yaml", "wants a version that", None),
        ("dependencies: [1, [2]]", "a.yaml", "a text is wanted, not a list", None),
        ("a: &x [*x]", "a.yaml", "into itself", 1),
        ("a: &x {b: *x}", "a.yaml", "into itself", 1),
        ("a: *gone", "a.yaml", "is no YAML", 1),
        ("? [a, b]\n: c", "a.yaml", "a key that is no text", 1),
        ("a: 1\n<<: 5", "a.yaml", "merges", 2),
        ("a: !!set {b}", "a.yaml", "tag !!set", 1),
        ("a: !!binary aGk=", "a.yaml", "tag !!binary", 1),
        ("a: !!str [b]", "a.yaml", "a tag that does not go with its value", 1),
        ("a: !!seq {b: 1}", "a.yaml", "a tag that does not go with its value", 1),
        ("a: !!bool maybe", "a.yaml", "no bool", 1),
        ("a: !!int x", "a.yaml", "no int", 1),
        ("a: !mine b", "a.yaml", "tag !mine", 1),
        ("a: \x01", "a.yaml", "is no YAML", None),
    ],
)  # fmt: skip
def test_what_is_no_composition_is_told(text, path, says, line):
    what, where = refusal(text, path)
    assert says in what
    assert line is None or where == line


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch owned']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object/new:list [[1]]",
        "!!python/tuple [1]",
        "!!js/function 'x'",
    ],
)
def test_no_tag_makes_anything_run(tag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    what, _ = refusal(f"a: {tag}")
    assert "which is not taken: data only" in what
    assert list(tmp_path.iterdir()) == []


def test_aliases_and_merges_are_followed():
    merging = draft(
        "base: &base {a: 1, b: 2}\nother: &other {b: 3, c: 4}\n"
        "one: {<<: *base, b: 9}\ntwo: {<<: [*base, *other]}\nthree: *base\n"
    )
    found = codec.decode(merging.content)
    assert found["one"] == {"a": 1, "b": 9}
    assert found["two"] == {"a": 1, "b": 2, "c": 4}
    assert found["three"] == {"a": 1, "b": 2}
    merged = draft("x: &x {name: base, tags: [t], extends: b}\n<<: *x\nname: own")
    assert (merged.name, merged.tags) == ("own", ("t",))
    assert merged.dependencies == (Dependency("b"),)


def bomb(rounds, value):
    lines = [f"a0: &a0 {value}"]
    lines += [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, rounds)
    ]
    return "\n".join(lines)


def test_aliases_that_multiply_are_refused_at_once():
    began = time.monotonic()
    assert "stands for more than 200,000 values" in refusal(bomb(40, "[x]"))[0]
    small = holdfast.Limits(value_bytes=10_000)
    assert "characters" in refusal(bomb(4, "x" * 100), limits=small)[0]
    merging = "a0: &a0 {k: v}\n" + "\n".join(
        f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)
    )
    assert "stands for more than" in refusal(merging)[0]
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")]
)
@pytest.mark.parametrize("depth", [DEEPEST + 5, 5_000, 400_000])
def test_no_depth_takes_the_process_down(opening, closing, depth):
    """PyYAML's parser in C calls itself at each level, and checks no stack."""
    found = []

    def work():
        with pytest.raises(BrokenFile) as caught:
            draft(opening * depth + "x" + closing * depth)
        found.append(str(caught.value))

    threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=work)
    finally:
        threading.stack_size(0)
    thread.start()
    thread.join()
    assert "levels deep" in found[0] or "is no YAML" in found[0]


def test_no_indentation_takes_the_process_down():
    deep = "".join(f"{' ' * n}a:\n" for n in range(1_000))
    assert "levels deep" in refusal(deep)[0]
    mixed = "".join(f"{' ' * n}- ? a\n" for n in range(0, 600, 4))
    refusal(mixed)


def test_json_may_be_as_deep_as_a_value_that_is_kept():
    assert draft('{"a": ' * 150 + "1" + "}" * 150, "a.json").name == "a"
    assert "nested too deeply" in refusal('{"a":' * 300 + "1" + "}" * 300, "a.json")[0]
    assert "nested too deeply" in refusal("[" * 10**5 + "]" * 10**5, "a.json")[0]


def test_many_brackets_in_a_text_are_no_depth():
    prompt = "\n".join(f"  {'[' * 30} {{x}} {'- ' * 50}" for _ in range(40))
    assert draft(f"prompt: |\n{prompt}\n").name == "one"


def test_what_is_after_a_byte_order_mark_is_read():
    assert draft(b"\xef\xbb\xbfname: a").name == "a"
    assert draft(b'\xef\xbb\xbf{"name": "a"}', "x.json").name == "a"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
)
NAMES = st.sampled_from(["a", "b", '"', "\\", 'a"', "é", "\x7f", "u0022", ""])


def joined(pairs, escaped):
    """An object's text, of keys that may stand twice, their quotes written two ways."""
    said = ", ".join(f"{json.dumps(key)}: {value}" for key, value in pairs)
    return f"{{{said}}}".replace('\\"', "\\u0022") if escaped else f"{{{said}}}"


OBJECTS = st.recursive(
    SCALARS.map(json.dumps),
    lambda inner: st.builds(
        joined, st.lists(st.tuples(NAMES, inner), max_size=4), st.booleans()
    ) | st.lists(inner, max_size=3).map(lambda some: f"[{', '.join(some)}]"),
    max_leaves=12,
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc é", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(OBJECTS)
def test_json_that_is_read_quickly_is_what_the_careful_way_reads(text):
    quick = composition_json._quickly(text)
    try:
        careful = composition_json._carefully(text)
    except BrokenFile:
        assert quick is None
        return
    assert quick is None or codec.document(careful).text == quick.text
    plain = "\\u0022" not in text
    assert (quick is not None) == plain or text.count("{") + text.count("[") > DEEPEST


@given(VALUES)
def test_yaml_is_read_as_its_safe_loader_reads_it(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    found, _ = read_yaml(text, PLENTY)
    assert found == yaml.safe_load(text) == value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    for path in ("a.yaml", "a.json"):
        try:
            found = draft(text.encode(errors="replace"), path)
        except BrokenFile:
            continue
        assert found.name


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data):
    for path in ("a.yaml", "a.json"):
        try:
            draft(data, path)
        except BrokenFile as error:
            line = error.line
        else:
            line = None
        assert line is None or line >= 1


@given(st.dictionaries(
    st.sampled_from(
        ["name", "version", "type", "tags", "dependencies", "extends", "mixins",
         "components", "metadata", "description"]
    ),
    VALUES,
))  # fmt: skip
def test_whatever_stands_under_its_keys_a_mapping_is_read_or_refused(content):
    texts = json.dumps(content), yaml.safe_dump(content, allow_unicode=True)
    for text, path in zip(texts, ("a.json", "a.yaml"), strict=True):
        try:
            found = draft(text, path)
        except BrokenFile:
            continue
        assert codec.decode(found.content) == content
        assert all(tag == tag.strip() != "" for tag in found.tags)


def test_numbers_that_are_read_are_finite():
    for text in ("a: -.inf", "a: .nan", "a: 1e400"):
        try:
            value = codec.decode(draft(text).content)["a"]
        except BrokenFile:
            continue
        assert isinstance(value, str) or math.isfinite(value)


def test_a_long_text_is_read_in_good_time():
    for text in ("a: " + "'x' " * 200_000, "[" + "a, " * 300_000, "&a " * 300_000):
        began = time.monotonic()
        refusal(text[:900_000])
        assert time.monotonic() - began < 20


def test_yaml_without_pyyaml_names_the_extra(monkeypatch):
    monkeypatch.setattr(composition_yaml, "_classes", [])
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(holdfast.errors.Refused, match=r"holdfast\[index\]"):
        draft("a: 1")
    assert draft('{"name": "a"}', "a.json").name == "a"
