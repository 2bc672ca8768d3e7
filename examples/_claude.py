#!/usr/bin/env python3
"""In place of Claude's own program: it speaks to the SDK as that does, with a script.

It keeps its transcript in a file, goes on with one, and tells the SDK of each entry. It
calls the tool `book`, and then says that it is done. A call that it finds without an
answer was interrupted: it says so, and calls the tool again.
"""

import itertools
import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

numbers = itertools.count(1)


def main() -> None:
    """Answer the SDK, line by line."""
    for frame in map(json.loads, sys.stdin):
        if frame["type"] == "control_request":
            done = {"subtype": "success", "request_id": frame["request_id"]}
            tell(type="control_response", response={**done, "response": {}})
        elif frame["type"] == "user":
            turn(Transcript(), frame["message"]["content"])


def turn(transcript: "Transcript", prompt: str) -> None:
    """What is asked, the call, its answer, and the last word."""
    if call := transcript.unanswered():
        transcript.answer(call, "interrupted")
    transcript.say("user", prompt)
    call = f"toolu_{uuid.uuid4().hex}"
    use = {"type": "tool_use", "id": call, "name": "book", "input": {"seat": 4}}
    transcript.say("assistant", [use])
    request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=ME)
    request("notifications/initialized")
    answer = request("tools/call", name="book", arguments={"seat": 4})
    transcript.answer(call, answer["result"]["content"])
    transcript.say("assistant", [{"type": "text", "text": "Done."}])
    result = {"duration_ms": 1, "duration_api_ms": 1, "is_error": False, "num_turns": 1}
    tell(type="result", subtype="success", session_id=transcript.id, **result)


ME = {"name": "scripted", "version": "1"}


def request(method: str, **params: Any) -> Any:
    """Ask the tools of the SDK's process; a notification has no number."""
    id = next(numbers)
    numbered = {} if method.startswith("notifications/") else {"id": id}
    message = {"jsonrpc": "2.0", **numbered, "method": method, "params": params}
    asked = {"subtype": "mcp_message", "server_name": "seats", "message": message}
    tell(type="control_request", request_id=str(id), request=asked)
    for frame in map(json.loads, sys.stdin):
        response = frame.get("response", {})
        if response.get("request_id") == str(id):
            return response["response"]["mcp_response"]
    sys.exit()


def tell(**frame: Any) -> None:
    """Say something to the SDK."""
    print(json.dumps(frame), flush=True)


class Transcript:
    """A file of entries, each the child of the one before."""

    def __init__(self) -> None:
        named = re.search(r"--(?:resume|session-id)[= ](\S+)", " ".join(sys.argv))
        assert named is not None
        self.id = named[1]
        folder = Path(os.environ["CLAUDE_CONFIG_DIR"]) / "projects"
        project = re.sub(r"[^a-zA-Z0-9]", "-", str(Path.cwd()))
        self.path = folder / project / f"{self.id}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.entries = [json.loads(line) for line in lines]

    def say(self, role: str, content: Any) -> None:
        """Keep an entry, and tell the SDK of it."""
        entry = {
            "parentUuid": self.entries[-1]["uuid"] if self.entries else None,
            "type": role,
            "message": {"role": role, "content": content},
            "uuid": str(uuid.uuid4()),
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "sessionId": self.id,
        }
        self.entries.append(entry)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        tell(type="transcript_mirror", filePath=str(self.path), entries=[entry])

    def answer(self, call: str, content: Any) -> None:
        """Keep what came of a call."""
        result = {"type": "tool_result", "tool_use_id": call, "content": content}
        self.say("user", [result])

    def unanswered(self) -> str:
        """The call that the transcript ends with, if it does."""
        said: Any = self.entries[-1]["message"]["content"] if self.entries else ""
        is_call = isinstance(said, list) and said[0]["type"] == "tool_use"
        return str(said[0]["id"]) if is_call else ""


if __name__ == "__main__":
    main()
