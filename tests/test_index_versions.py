"""Versions of compositions: their order, and which ones are wanted."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WrongType
from holdfast.kinds.index_versions import place_of_version, wanted_of

IN_ORDER = [
    None, "", "draft", "latest", "0.1", "1.0.0-alpha", "1.0.0-alpha.1",
    "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
    "1.0.0", "1.0.1", "1.2", "1.9", "1.10", "1.10.0.1", "2.0a1", "2.0b1", "2.0rc9",
    "2.0rc10", "2.0", "10", "2024-01-05", "2024-02-01", "2024.3",
    "99999999999999999999",
]  # fmt: skip
"""Oldest first; what Semantic Versioning 2.0.0 gives as its own example among them."""
VERSIONS = st.one_of(
    st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,3}(-[a-z0-9.]{1,6})?", fullmatch=True),
    st.text(st.characters(min_codepoint=32, max_codepoint=300), max_size=8),
)


def test_versions_stand_in_their_order():
    places = [place_of_version(version) for version in IN_ORDER]
    for (old, a), (new, b) in itertools.pairwise(zip(IN_ORDER, places, strict=True)):
        assert a < b, (old, new)


@given(VERSIONS, VERSIONS)
def test_two_versions_have_one_place_only_if_they_are_one(a, b):
    first, second = place_of_version(a), place_of_version(b)
    assert (first == second) == (a == b)
    assert (first < second) == (first.encode() < second.encode())
    assert place_of_version(None) < first


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=4), st.integers(1, 50))
def test_numbers_compare_as_numbers(numbers, more):
    for place in range(len(numbers)):
        later = [*numbers]
        later[place] += more
        a, b = (".".join(map(str, each)) for each in (numbers, later))
        assert place_of_version(a) < place_of_version(b)


def test_how_it_was_built_and_a_v_before_it_say_nothing_of_its_order():
    alike = ["1.2", "v1.2", "1.2.0", "1.2+linux", "V1.2.0+mac"]
    for a, b in itertools.permutations(alike, 2):
        assert place_of_version(a) != place_of_version(b)
        assert place_of_version("1.1") < place_of_version(a) < place_of_version("1.2.1")


@pytest.mark.parametrize(
    ("wanted", "meets", "not_those"),
    [
        ("1.2", ["1.2"], ["1.2.0", "1.3", None]),
        ("=1.2", ["1.2"], ["1.2.1"]),
        ("!=1.2", ["1.1", None], ["1.2"]),
        (">=1.2", ["1.2", "1.2.0", "v1.2", "3", "1.2.1-rc"], ["1.1", "1.2-rc", None]),
        (">1.2", ["1.2.1", "2"], ["1.2", "1.2.0", "1.2-rc"]),
        ("<=1.2", ["1.2", "1.2.0", "1.2-rc", "draft", None], ["1.2.1"]),
        ("<2", ["1.9", "2.0.0-rc"], ["2", "2.0"]),
        (">=1.0, <2", ["1.0", "1.99"], ["0.9", "2"]),
        (">=1.0 <2 !=1.5", ["1.0"], ["1.5", "2"]),
        ("^1.2", ["1.2", "1.10"], ["1.1", "2.0", "2.0.0-rc"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3", "0.2.2"]),
        ("^0.0", ["0.0", "0.0.9"], ["0.1"]),
        ("~1.2", ["1.2", "1.2.9"], ["1.3", "1.1"]),
        ("~1", ["1", "1.9"], ["2"]),
        ("~=1.4.2", ["1.4.2", "1.4.9"], ["1.5", "1.4.1"]),
        ("~=1.4", ["1.4", "1.9"], ["2", "1.3"]),
        ("1.x", ["1", "1.9"], ["2", "0.9"]),
        ("1.2.*", ["1.2", "1.2.9"], ["1.3"]),
        ("*", ["1", "draft", None], []),
        ("", ["1", None], []),
        ("draft", ["draft"], ["drafts", "1"]),
    ],
)
def test_what_is_wanted_of_a_version(wanted, meets, not_those):
    found = wanted_of(wanted)
    assert [v for v in meets if not found.meets(place_of_version(v))] == []
    assert [v for v in not_those if found.meets(place_of_version(v))] == []


@pytest.mark.parametrize(
    "text", [">=", "1.2 ||| 3 <", "^draft", ">1.x", "<*", "~", "=" * 5, "1" * 65]
)
def test_what_says_no_versions_is_refused(text):
    with pytest.raises(WrongType):
        wanted_of(text)


@given(st.text(max_size=30))
def test_any_text_wants_something_or_is_refused(text):
    try:
        found = wanted_of(text)
    except WrongType:
        return
    found.meets(place_of_version("1.0"))
