"""Texts of errors, such as a store keeps of a task or a job that failed."""

_ERROR_CHARACTERS = 1_000


def error_text(error: BaseException) -> str:
    """What an error says, as text that can be kept."""
    text = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\0")
