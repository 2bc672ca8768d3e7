"""Drafts of a graph's messages: made once, and anew when a message was changed."""

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from holdfast.errors import Refused
from holdfast.integrations.langgraph import drafts
from holdfast.integrations.langgraph.drafts import Drafts, drafted


class Own(HumanMessage):
    """A class of the user's own, which a session cannot give back."""


def a_message(id: str = "m") -> AIMessage:
    calls = [{"name": "look", "args": {"at": ["x"]}, "id": "c", "type": "tool_call"}]
    said = {"sure": 1}
    return AIMessage("So it is.", id=id, tool_calls=calls, additional_kwargs=said)


def test_a_message_is_drafted_once() -> None:
    made = Drafts()
    assert made.of(a_message()) is made.of(a_message())


def in_place(message: AIMessage) -> None:
    message.content = "So it was."


def deep_within(message: AIMessage) -> None:
    message.tool_calls[0]["args"]["at"].append("y")


def beside_its_fields(message: AIMessage) -> None:
    message.extra = "more"


def by_type_alone(message: AIMessage) -> None:
    message.additional_kwargs["sure"] = True


@pytest.mark.parametrize(
    "change", [in_place, deep_within, beside_its_fields, by_type_alone]
)
def test_a_message_that_was_changed_in_place_is_drafted_anew(change) -> None:
    made, message = Drafts(), a_message()
    before = made.of(message)
    change(message)
    after = made.of(message)
    assert after.digest != before.digest
    assert after.digest == drafted(message).digest


def test_another_class_of_the_same_id_is_told_apart() -> None:
    made = Drafts()
    made.of(HumanMessage("Is it?", id="m"))
    with pytest.raises(Refused):
        made.of(Own("Is it?", id="m"))


def test_what_is_remembered_stays_within_its_bytes(monkeypatch) -> None:
    monkeypatch.setattr(drafts, "_REMEMBERED_BYTES", 10_000)
    made = Drafts()
    messages: list[BaseMessage] = [
        HumanMessage("word " * 100, id=f"m{n}") for n in range(50)
    ]
    for _ in range(2):
        for message in messages:
            assert made.of(message).digest == drafted(message).digest
    assert 0 < made._bytes <= 10_000
    assert made._bytes == sum(each.size_bytes for each in made._made.values())
