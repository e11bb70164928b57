"""HTML and SVG as calls: ``tag("td", text, class_="n")``. Every text is escaped; only ``Markup`` passes as it is.

Item ids, errors and names come from users and engines. Escaping is MarkupSafe's; characters that HTML forbids (C0 and
C1 controls, NUL, lone surrogates) become U+FFFD, so that the file is always valid UTF-8.
"""

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

Child = str | Markup | None
Attribute = str | float | bool | None

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"br", "hr", "meta", "col", "input"})


def clean(text: str) -> str:
    """Replace the characters that may not stand in an HTML file."""
    return _FORBIDDEN.sub("\ufffd", text)


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Return one element.

    ``class_`` is ``class``, other underscores become hyphens (``stroke_width``). An attribute of None or False is
    left out, True stands alone; a number is printed with at most 2 decimals.
    """
    opening = Markup(f"<{name}{_attributes(attributes)}>")  # noqa: S704  # names are ours, values are escaped
    if name in _VOID:
        return opening
    return opening + join(children) + Markup(f"</{name}>")  # noqa: S704


def join(children: Iterable[Child]) -> Markup:
    """Return the children in order, texts escaped, None left out."""
    parts = (child if isinstance(child, Markup) else escape(clean(child)) for child in children if child is not None)
    return Markup("").join(parts)


def trusted(text: str) -> Markup:
    """Mark a text of this package (a style sheet, a script, a path) as markup."""
    return Markup(text)  # noqa: S704


def decimals(value: float) -> str:
    """Print a coordinate: at most 2 decimals, no trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _attributes(attributes: dict[str, Attribute]) -> str:
    return "".join(
        f" {_spelt(name)}" if value is True else f' {_spelt(name)}="{_value(value)}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )


def _spelt(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return str(escape(clean(value))) if isinstance(value, str) else decimals(value)
