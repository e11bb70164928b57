r"""Texts that a database cannot keep as they are: lone surrogates anywhere, the NUL character in PostgreSQL.

They come from broken answers, whose cost must be on record all the same. They are escaped (``\ud83d``, ``\x00``), and
only where the database refused them: looking at every text would cost more than it saves.
"""

from sqlalchemy import Engine


def escaped(text: str, engine: Engine) -> str:
    """Return ``text`` as the database can keep it; most texts as they are."""
    kept = text.encode("utf-8", "backslashreplace").decode()
    return kept if engine.dialect.name == "sqlite" else kept.replace("\x00", "\\x00")


def unstorable(error: BaseException) -> bool:
    """Whether a database, or its driver, refused a text for a character in it."""
    cause = getattr(error, "orig", None) or error
    return isinstance(cause, UnicodeEncodeError) or "NUL (0x00)" in str(cause)
