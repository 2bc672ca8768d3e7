"""A file of chat transcripts, as large as one likes.

Answers for: the input of the importing measure: a JSON list of `{"messages": […]}`
objects whose messages are as long as an agent's usually are: a system prompt, then
short turns, tool calls and their longer results, with line ends, quotes and letters
beyond ASCII.
Always holds: the same size gives the same file, and no two messages are equal.
"""

from pathlib import Path
from typing import Any

import msgspec

POLICY = "As an agent, you can book, modify or cancel.\n- “Ask first.”\n" * 60
RESULT = '{"id": "SI5UKW", "cabin": "économie", "nonfree_baggages": 0}\n' * 20
TURN = 'I\'d like to change my flight to the 24th; the "later" one, please. ' * 4
TURNS = 8


def conversation(number: int) -> dict[str, Any]:
    """One conversation: a policy, and turns that call a tool and answer."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": POLICY}]
    for turn in range(TURNS):
        call = f"call_{number}_{turn}"
        function = {"name": "look_up", "arguments": f'{{"id": "{call}"}}'}
        messages += [
            {"role": "user", "content": f"{number}.{turn} {TURN}"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": call, "type": "function", "function": function}],
            },
            {
                "role": "tool",
                "tool_call_id": call,
                "name": "look_up",
                "content": RESULT,
            },
            {"role": "assistant", "content": f"Done with {call}. {TURN}"},
        ]
    return {"messages": messages}


def write(path: Path, size_bytes: int) -> int:
    """Write at least so many bytes; returns how many messages they hold."""
    encode = msgspec.json.Encoder().encode
    written = messages = number = 0
    with path.open("wb") as file:
        written += file.write(b"[")
        while written < size_bytes:
            made = conversation(number)
            written += file.write((b",\n" if number else b"\n") + encode(made))
            messages += len(made["messages"])
            number += 1
        file.write(b"\n]\n")
    return messages
