"""Plain HTML tables: units in headers, numbers to the right, readable without a script and sortable with it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cput.report.markup import Child, join, tag


class Column(NamedTuple):
    """One column's header."""

    label: str
    """Its name with its unit."""
    numeric: bool = True
    """Whether it is set to the right and sorted as a number."""


def text(label: str) -> Column:
    """Return a column of words."""
    return Column(label, numeric=False)


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[Child]], *, sortable: bool = False, class_: str = ""
) -> Markup:
    """Return a table in a box that scrolls sideways where the page is too narrow.

    Cells carry no class of their own: the table's ``n1``, ``n2``, ... say which columns are numbers, which keeps a
    table of thousands of calls small.
    """
    numeric = " ".join(f"n{index}" for index, column in enumerate(columns, 1) if column.numeric)
    classes = " ".join(part for part in (class_, numeric, "sortable" if sortable else "") if part)
    heads = (tag("th", column.label, scope="col") for column in columns)
    body = join(row(cells) for cells in rows)
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", body), class_=classes or None)
    return tag("div", whole, class_="scroll")


def row(cells: Sequence[Child]) -> Markup:
    """Return one body row."""
    return tag("tr", *(tag("td", cell if cell is not None else "") for cell in cells))


def facts(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """Return names and values, one pair a line."""
    return tag(
        "table", *(tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in pairs), class_="facts"
    )


def badge(word: str, class_: str) -> Markup:
    """Return a word in its colour; the word says it, the colour only helps."""
    return tag("span", word, class_=f"badge {class_}")
