"""The values of a JSON file are told apart, whatever the file is like."""

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.importers import json_stream
from holdfast.importers.json_stream import BrokenJsonError, Scanner, decode, elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5)
    ),
    max_leaves=20,
)


def texts(text: bytes, limit: int = 1 << 20) -> list[bytes | None]:
    return [span.text for span in elements(Scanner(io.BytesIO(text)), limit)]


def small_chunks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", size)


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 1, 4]), st.booleans())
def test_elements_are_what_a_whole_parse_gives(values, indent, ascii_only):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode(
        errors="surrogatepass"
    )
    assert [decode(one) for one in texts(text)] == values


@given(st.lists(VALUES, max_size=6), st.integers(1, 40))
def test_where_a_chunk_ends_makes_no_difference(values, size):
    text = json.dumps(values).encode()
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch, size)
        found = texts(text)
    assert [decode(one) for one in found] == values


def test_an_escape_may_stand_on_either_side_of_a_chunks_end(monkeypatch):
    text = rb'["\\", "\"", "a\u00e9\\\""]'
    for size in range(1, len(text) + 1):
        small_chunks(monkeypatch, size)
        assert [decode(one) for one in texts(text)] == ["\\", '"', 'aé\\"']


@given(st.binary(max_size=200), st.integers(1, 16))
def test_any_bytes_end_in_elements_or_in_a_named_break(noise, size):
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch, size)
        found = elements(Scanner(io.BytesIO(b"[" + noise)), 100)
        places = [1]
        with contextlib.suppress(BrokenJsonError):
            places.extend(span.end for span in found)
    assert places == sorted(places)
    assert places[-1] <= len(noise) + 1


@given(st.lists(VALUES, min_size=1, max_size=6), st.data())
def test_a_cut_list_gives_what_was_whole_and_names_where_it_was_cut(values, data):
    text = json.dumps(values).encode()
    end = data.draw(st.integers(1, len(text) - 1))
    found = []
    with pytest.raises(BrokenJsonError) as broken:
        found.extend(elements(Scanner(io.BytesIO(text[:end])), 1 << 20))
    assert broken.value.at_byte == end


def test_a_value_past_the_limit_is_told_without_its_text():
    text = b'[1, "' + b"x" * 100 + b'", 2]'
    assert texts(text, limit=50) == [b"1", None, b"2"]
    (_, long, _) = elements(Scanner(io.BytesIO(text)), 50)
    assert text[long.start : long.end] == b'"' + b"x" * 100 + b'"'


def test_a_broken_value_costs_only_itself():
    text = b'[1, {"a" 5}, [}, nonsense, 2]'
    assert texts(text) == [b"1", b'{"a" 5}', b"[}", b"nonsense", b"2"]


@pytest.mark.parametrize(
    ("text", "at_byte"),
    [(b"[1 2]", 3), (b"[1", 2), (b'["a', 3), (b'["a\\', 4), (b"[:]", 1), (b"{}", 0)],
)
def test_a_break_is_named_by_its_byte(text, at_byte):
    with pytest.raises(BrokenJsonError) as broken:
        texts(text)
    assert broken.value.at_byte == at_byte


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a" 5}', "byte 5"),
        ('{"é" 5}'.encode(), "byte 6"),
        (b'"\xff"', "no UTF-8 at byte 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "byte 0"),
    ],
)
def test_what_is_wrong_within_a_value_is_said(text, reason):
    with pytest.raises(ValueError, match=reason):
        decode(text)


def test_whole_numbers_of_any_size_come_through():
    assert decode(b"123456789012345678901234567890") == 123456789012345678901234567890
