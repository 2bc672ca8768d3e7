"""A program that speaks as Claude's own does to its SDK, with a script for a model.

It keeps its transcript in a file, resumes from one, and tells the SDK of each entry,
as the real one does. Asked to book, it calls a tool; with `CLAUDE_STOPS` it is then
silent until its input ends, as if the tool took long. In a transcript that it resumes
it says first that a call without an answer was interrupted.
"""

import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path


class Transcript:
    """A file of entries, each the child of the one before."""

    def __init__(self, folder, id):
        project = re.sub(r"[^a-zA-Z0-9]", "-", os.getcwd())
        self.path = folder / "projects" / project / f"{id}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.id = id
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.entries = [json.loads(line) for line in lines]

    def say(self, role, content):
        last = [entry["uuid"] for entry in self.entries if "uuid" in entry]
        message = {"role": role, "content": content}
        if role == "assistant":
            model = {"id": "msg_1", "type": "message", "model": "scripted"}
            message = {**model, **message, "usage": {"output_tokens": 5}}
        self.add(
            {
                "parentUuid": last[-1] if last else None,
                "isSidechain": False,
                "type": role,
                "message": message,
                "uuid": str(uuid.uuid4()),
                "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "sessionId": self.id,
                "cwd": os.getcwd(),
            }
        )

    def add(self, entry):
        self.entries.append(entry)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        tell(type="transcript_mirror", filePath=str(self.path), entries=[entry])

    def unanswered(self):
        said = [entry["message"] for entry in self.entries if "message" in entry]
        if said and isinstance(said[-1]["content"], list):
            return [b["id"] for b in said[-1]["content"] if b["type"] == "tool_use"]
        return []


def tell(**frame):
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


def turn(transcript, prompt):
    for call in transcript.unanswered():
        answer(transcript, call, "interrupted")
    transcript.add({"type": "queue-operation", "operation": "enqueue"})
    transcript.say("user", prompt)
    if "Book" in prompt:
        call = f"toolu_{len(transcript.entries)}"
        use = {"type": "tool_use", "id": call, "name": "book", "input": {"to": "Rome"}}
        transcript.say("assistant", [use])
        if "CLAUDE_STOPS" in os.environ:
            sys.stdin.read()
            sys.exit()
        answer(transcript, call, "booked")
    transcript.say("assistant", [{"type": "text", "text": f"Done: {prompt}"}])
    tell(type="assistant", message=transcript.entries[-1]["message"])
    result = {"duration_ms": 1, "duration_api_ms": 1, "is_error": False}
    id = transcript.id
    tell(type="result", subtype="success", num_turns=1, session_id=id, **result)


def answer(transcript, call, text):
    result = {"type": "tool_result", "tool_use_id": call, "content": text}
    transcript.say("user", [result])


def main():
    named = re.search(r"--(?:resume|session-id)[= ](\S+)", " ".join(sys.argv))
    id = named[1] if named else str(uuid.uuid4())
    transcript = Transcript(Path(os.environ["CLAUDE_CONFIG_DIR"]), id)
    for line in sys.stdin:
        frame = json.loads(line)
        if frame["type"] == "control_request":
            done = {"subtype": "success", "request_id": frame["request_id"]}
            tell(type="control_response", response={**done, "response": {}})
        elif frame["type"] == "user":
            turn(transcript, frame["message"]["content"])


if __name__ == "__main__":
    main()
