"""Chat-completion transcripts: files of messages, brought into a store.

Answers for: `import_chat`, from a file to a report; `as_chat`, from what was kept back
to the chat message.
Leaves to others: reading files (`chat_files`), writing (`intake`), what goes where
(`chat_messages`).
Always holds: running it twice adds nothing; a run that was interrupted is finished by
the next; memory does not grow with the file.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import CannotOpen
from holdfast.importers.chat_files import Transcripts
from holdfast.importers.chat_messages import as_chat
from holdfast.importers.intake import Intake
from holdfast.importers.json_stream import open_seekable
from holdfast.importers.report import ImportReport, SetAside

if TYPE_CHECKING:
    from holdfast.store import Store

__all__ = ["ImportReport", "SetAside", "as_chat", "import_chat"]

PROGRESS_BYTES = 1 << 22


def import_chat(
    store: "Store",
    path: str | os.PathLike[str],
    *,
    session: str | None = None,
    on_progress: Callable[[int, int, int], None] | None = None,
) -> ImportReport:
    """Bring a file of chat transcripts into a store; what became of it.

    `session` names the session that messages which stand by themselves go to (a chat
    log that grows, say); without it, their content makes its id. `on_progress` is told
    the bytes read, the bytes to read (a conversation past 1 MiB is read twice), and the
    messages kept. Raises `CannotOpen` if the file cannot be read; what the store raises
    for other reasons than one item ends the import, and the next run goes on.
    """
    path = Path(path)
    tell = on_progress or (lambda _read, _total, _messages: None)
    try:
        file = open_seekable(path)
    except OSError as error:
        raise CannotOpen(f"{path}: {error.strerror}; nothing was imported") from error
    intake = Intake(store, file=_name_of(path))
    with file:
        transcripts = Transcripts(file, session=session)
        told = 0
        for event in transcripts.events():
            kept = event is not None and intake.take(event)
            if kept or transcripts.bytes_read - told >= PROGRESS_BYTES:
                told = transcripts.bytes_read
                tell(told, transcripts.bytes_total, intake.messages)
    intake.flush()
    intake.broken_at = transcripts.broken_at
    tell(transcripts.bytes_total, transcripts.bytes_total, intake.messages)
    return intake.report()


def _name_of(path: Path) -> str:
    """The file's name as text that can be kept, whatever bytes it is made of."""
    name = os.fsencode(path.name).decode(errors="replace")
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name
    )
