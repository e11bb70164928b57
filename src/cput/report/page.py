"""The shell of a report: one HTML file that opens without a network.

Style and script are in the file. A content security policy forbids everything else: no request leaves the page, and no
script runs but ours, whose SHA-256 it names, so that a text which slipped past the escaping would still be dead.
"""

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from cput.report.markup import Child, join, tag, trusted


def document(title: str, *content: Child) -> str:
    """Return the whole file as text."""
    script = _static("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", trusted(_static("style.css"))),
    )
    body = tag("body", *content, tag("script", trusted(script)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def section(title: str, *content: Child) -> Markup:
    """Return a part of the page under its heading."""
    return tag("section", tag("h2", title), *content)


def tile(over: str, figure: Child, *below: Child, class_: str = "") -> Markup:
    """Return one headline figure: what it is, the figure, what a reader must know with it."""
    lines = (tag("span", line) for line in below if line)
    return tag("div", tag("div", over, class_="over"), tag("b", figure), *lines, class_=f"tile {class_}".strip())


def tiles(*content: Markup) -> Markup:
    """Return headline figures side by side."""
    return tag("div", *content, class_="tiles")


def columns(*content: Markup, class_: str = "grid") -> Markup:
    """Return parts side by side where the page is wide enough."""
    return tag("div", *content, class_=class_)


def notes(*sentences: str) -> Markup | None:
    """Return what a reader must know as a list; nothing where there is nothing."""
    return tag("ul", *(tag("li", sentence) for sentence in sentences), class_="notes") if sentences else None


def when(unix_s: float) -> str:
    """Print a time as a date in UTC; a time no calendar holds is unknown."""
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "unknown time"


def footer(*sentences: str) -> Markup:
    """Return the closing line."""
    return tag("footer", join(f"{sentence} " for sentence in sentences))


@cache
def _static(name: str) -> str:
    return (files("cput.report") / "static" / name).read_text("utf-8")
