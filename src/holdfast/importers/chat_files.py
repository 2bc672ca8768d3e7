"""Files of chat transcripts, read item by item.

Answers for: the forms that a transcript file has, and which messages make one
conversation.
Leaves to others: a conversation's id (`chat_survey`), items (`chat_items`), one
message (`chat_messages`), the store (`intake`).
Always holds: the same file gives the same events on every run; memory stays bounded.

A file holds one JSON value or several, or JSON lines. A value is a list of messages, a
list of conversations, or a conversation: an object with `messages` or `traj`, or a bare
list of messages within a list. Messages that stand by themselves in one list, or as
lines of one file, form one conversation.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import BinaryIO, TypeAlias, TypeGuard

import msgspec

from holdfast.codec import Json
from holdfast.importers.chat_items import WHOLE_BYTES, Item, items
from holdfast.importers.chat_messages import from_chat
from holdfast.importers.chat_survey import Survey, too_long
from holdfast.importers.identity import Tally
from holdfast.importers.intake import Talk, Turn
from holdfast.importers.json_stream import (
    BrokenJsonError,
    Scanner,
    Span,
    decode,
    elements,
    members,
    read_at,
    size_of,
)
from holdfast.importers.report import SetAside, sample_of

Event: TypeAlias = Talk | Turn | SetAside | None

MESSAGE_BYTES = 1 << 26
"""A longer message is set aside unread; no store takes one by default."""
_LISTS = ("messages", "traj")
_NEITHER = "neither a message (no role) nor a conversation (no list of messages)"


class _Group(msgspec.Struct):
    """Messages that stand by themselves and belong together, as far as they came."""

    place: int
    talk: Talk
    messages: int = 0


class Transcripts:
    """One file of transcripts: its conversations, messages and faults, in order."""

    def __init__(self, file: BinaryIO, *, session: str | None = None) -> None:
        self._file = file
        self._session = session
        self._size = size_of(file)
        self._twice = 0
        self._tally = Tally()
        self._group: _Group | None = None
        self._told: int | None = None
        self.bytes_total = self._size
        self.bytes_read = 0
        self.broken_at: int | None = None

    def events(self) -> Iterator[Event]:
        """All that the file has. A message follows the conversation that it is of.

        None says only that some more bytes were looked at.
        """
        try:
            for item in items(self._file):
                yield from self._events_of(item)
                self._read_to(item.span.end)
        except BrokenJsonError as error:
            self.broken_at = error.at_byte
            yield from self._fault("the file", error)
        self.bytes_read = self.bytes_total

    def _events_of(self, item: Item) -> Iterator[Event]:
        if item.span.text is None:
            yield from self._long(item)
            return
        try:
            value = decode(item.span.text)
        except ValueError as error:
            yield _set_aside(item, str(error), item.span.text)
            return
        if _is_loose(value):
            yield from self._loose(item, value)
        else:
            yield from self._short(item, value)

    # A message that stands by itself.

    def _loose(self, item: Item, message: Json) -> Iterator[Event]:
        group = self._group
        if group is None or group.place != item.group:
            survey = yield from self._survey_group(item)
            talk = self._talk(item, survey)
            talk.id = self._session or talk.id
            self._group = group = _Group(item.group, talk)
            yield talk
        # In a session that was named, a fault that is mended later must not renumber
        # what follows it; where the content makes the id, it is another session then.
        number = item.number if self._session else group.messages
        group.messages += 1
        size = len(item.span.text or b"")
        yield _turn(group.talk, message, number, item.position, item.span.start, size)

    def _survey_group(self, first: Item) -> Generator[Event, None, Survey]:
        """Look at all messages that belong together, before the first is kept."""
        survey = Survey()
        start = self._begin_survey(first.span.start)
        try:
            for item in items(self._file, first.group):
                if item.group == first.group and item.span.start >= start:
                    message = _value_of(self._file, item.span)
                    if _is_loose(message):
                        survey.see(message)
                    yield from self._look_at(item.span.end)
        except BrokenJsonError:
            pass  # whoever keeps these messages comes to the same fault, and names it
        self._end_survey(start)
        return survey

    # A conversation that is held whole.

    def _short(self, item: Item, value: Json) -> Iterator[Event]:
        survey = Survey()
        messages: Json = value
        if isinstance(value, dict):
            key = _list_in(value)
            messages = value[key] if key else None
            survey.fields = {name: value[name] for name in value if name != key}
            survey.path = f".{key}"
        bare = messages is value
        if not isinstance(messages, list) or (
            bare and not any(map(_is_dict, messages))
        ):
            yield _set_aside(item, _NEITHER, value)
            return
        for message in messages:
            survey.see(message)
        talk = self._talk(item, survey)
        yield talk
        size = len(item.span.text or b"") // (len(messages) or 1)
        for number, message in enumerate(messages):
            place = item.within(f"{survey.path}[{number}]")
            yield _turn(talk, message, number, place, item.span.start, size)

    # A conversation that is too long for that, and is read twice.

    def _long(self, item: Item) -> Iterator[Event]:
        survey = yield from self._survey_long(item.span.start)
        if survey.list_at is None:
            yield from self._long_message(item)
            return
        for name in survey.left_out:
            reason = f"not kept of this conversation: {survey.left_out[name]}"
            yield SetAside(item.within(f".{name}"), item.span.start, reason)
        talk = self._talk(item, survey)
        yield talk
        yield from self._turns_at(survey.list_at, talk, item, survey.path)
        if survey.fault:
            yield from self._fault(item.position, survey.fault)

    def _survey_long(self, start: int) -> Generator[Event, None, Survey]:
        """Look at a whole conversation, before the first of its messages is kept."""
        survey = Survey()
        self._begin_survey(start)
        scanner = Scanner(self._file, start)
        try:
            if scanner.peek() == ord("["):
                yield from self._survey_list(scanner, survey)
            elif scanner.peek() == ord("{"):
                for key in members(scanner, WHOLE_BYTES):
                    in_list = key in _LISTS and scanner.peek() == ord("[")
                    if in_list and survey.list_at is None:
                        survey.path = f".{key}"
                        yield from self._survey_list(scanner, survey)
                    else:
                        survey.keep_field(key, scanner.value(WHOLE_BYTES))
        except BrokenJsonError as fault:
            survey.fault = fault
        self._end_survey(start)
        return survey

    def _survey_list(self, scanner: Scanner, survey: Survey) -> Iterator[Event]:
        survey.list_at = scanner.place
        for span in elements(scanner, MESSAGE_BYTES):
            survey.see(_value_of(self._file, span))
            yield from self._look_at(span.end)

    def _turns_at(
        self, list_at: int, talk: Talk, item: Item, path: str
    ) -> Iterator[Event]:
        """The messages of a list that begins at a byte."""
        spans = elements(Scanner(self._file, list_at), MESSAGE_BYTES)
        try:
            for number, span in enumerate(spans):
                place = item.within(f"{path}[{number}]")
                if span.text is not None:
                    try:
                        message = decode(span.text)
                    except ValueError as error:
                        sample = sample_of(span.text)
                        yield SetAside(place, span.start, str(error), sample)
                        continue
                    size = len(span.text)
                    yield _turn(talk, message, number, place, span.start, size)
                elif span.end > span.start:
                    yield SetAside(place, span.start, too_long(span.end - span.start))
                self._read_to(span.end)
        except BrokenJsonError as fault:
            yield from self._fault(item.position, fault)

    def _long_message(self, item: Item) -> Iterator[Event]:
        start, end = item.span.start, item.span.end
        if end - start > MESSAGE_BYTES:
            yield _set_aside(item, too_long(end - start), b"")
        elif end > start:
            text = read_at(self._file, start, end).strip()
            span = Span(start, end, text)
            yield from self._events_of(msgspec.structs.replace(item, span=span))

    # What all of them need.

    def _talk(self, item: Item, survey: Survey) -> Talk:
        return Talk(
            id=survey.id(self._tally),
            title=survey.title(),
            metadata=survey.fields or None,
            position=item.position or "the file",
            at_byte=item.span.start,
        )

    def _fault(self, position: str, fault: BrokenJsonError) -> Iterator[SetAside]:
        """Name a fault of the file, once."""
        if self._told != fault.at_byte:
            self._told = fault.at_byte
            yield SetAside(position or "the file", fault.at_byte, fault.reason)

    def _begin_survey(self, start: int) -> int:
        self.bytes_total = self._size + self._twice + (self._size - start)
        self._read_to(start)
        return start

    def _look_at(self, end: int) -> Iterator[None]:
        self.bytes_read = end + self._twice
        yield None

    def _end_survey(self, start: int) -> None:
        self._twice = self.bytes_read - start
        self.bytes_total = self._size + self._twice

    def _read_to(self, end: int) -> None:
        self.bytes_read = end + self._twice


def _turn(
    talk: Talk, message: Json, number: int, position: str, at_byte: int, size: int
) -> Turn | SetAside:
    """One message of a conversation; set aside if it has no role."""
    if not isinstance(message, dict):
        reason = "no message: an object is wanted"
    elif "role" not in message:
        reason = "the message has no role"
    elif not isinstance(message["role"], str):
        reason = "the message's role is no text"
    else:
        return Turn(talk, from_chat(message, str(number + 1)), position, at_byte, size)
    return SetAside(position, at_byte, reason, sample_of(message))


def _set_aside(item: Item, reason: str, sample: object) -> SetAside:
    position = item.position or "the file"
    return SetAside(position, item.span.start, reason, sample_of(sample))


def _value_of(file: BinaryIO, span: Span) -> Json:
    """What stands there; the text itself if it is broken, None if it is too long."""
    text = span.text
    if text is None:
        if not 0 < span.end - span.start <= MESSAGE_BYTES:
            return None
        text = read_at(file, span.start, span.end).strip()
    try:
        return decode(text)
    except ValueError:
        return text.decode(errors="replace")


def _is_dict(value: Json) -> bool:
    return isinstance(value, dict)


def _is_loose(value: Json) -> TypeGuard[dict[str, Json]]:
    """Whether this is a message that stands by itself."""
    return isinstance(value, dict) and "role" in value and _list_in(value) is None


def _list_in(value: Mapping[str, Json]) -> str | None:
    """The key under which an object has its messages."""
    return next(
        (key for key in value if key in _LISTS and isinstance(value[key], list)), None
    )
