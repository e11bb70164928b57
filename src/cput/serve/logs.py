"""Structured logs: one JSON object a line on standard error, one line a request. Never a prompt, an answer or a key.

{"at": "2026-11-25T10:00:00.123Z", "level": "info", "event": "request", "request_id": "...", "status": 200, ...}
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

LOGGER = logging.getLogger("cput.serve")


def note(event: str, level: int = logging.INFO, error: BaseException | None = None, **facts: Any) -> None:
    """Write one event with its facts; unknown (None) ones are left out."""
    if LOGGER.isEnabledFor(level):
        known = {name: value for name, value in facts.items() if value is not None}
        LOGGER.log(level, event, extra={"facts": known}, exc_info=error)


def to_stream(stream: TextIO | None = None, *, level: int = logging.INFO) -> logging.Handler:
    """Let events go to ``stream`` (standard error) as JSON lines; returns the handler, to be taken off again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level)
    LOGGER.propagate = False
    return handler


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said: dict[str, Any] = {"at": moment, "level": record.levelname.lower(), "event": record.getMessage()}
        said |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            said["error"] = type(error).__name__
            # Where it happened, without the values: an exception's text may quote what the client sent.
            said["where"] = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
        return msgspec.json.encode(said).decode()
