"""A certificate in a report: what was shown of a policy's quality, from how many outcomes, with which confidence."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from cput.report import words
from cput.report.markup import join, tag
from cput.report.table import Column, facts, table, text
from cput.units import UNKNOWN


def certificate_facts(certificate: Mapping[str, Any] | None, note: str, threshold_note: str | None) -> Markup:
    """Return what was proven, in a sentence and in figures; ``certificate`` as ``Certificate.as_json`` gives it."""
    told = [tag("p", note), tag("p", threshold_note) if threshold_note else None]
    if certificate is None:
        return join([*told, tag("p", "The workload states no quality floor: there is nothing to certify.")])
    return join([*told, facts(list(figures(certificate).items())), _held(certificate)])


def figures(certificate: Mapping[str, Any]) -> dict[str, str]:
    """Return a certificate's figures by name, for people."""
    chosen = certificate["choice"] is not None
    needed = certificate["needed"]
    more = UNKNOWN if needed is None else words.count(needed)
    return {
        "floor kept": "yes" if chosen else "not proven",
        "confidence": f"{words.share(1 - certificate['delta'])} %",
        "outcomes": words.count(certificate["n"]),
        "bound": words.quantity(certificate["bound"]) if chosen else UNKNOWN,
        "more outcomes needed": "none" if chosen else more,
        "data": certificate["data"] or UNKNOWN,
        "date": certificate["made_on"],
        "holds for": certificate["assumption"],
    }


def _held(certificate: Mapping[str, Any]) -> Markup:
    columns = (text("on"), text("floor"), Column("outcomes"), Column("useful, %"), Column("p"), text("test"))
    rows = [
        (
            held["slice"],
            held["floor"].replace("_", " "),
            words.count(held["n"]),
            words.share(held["quality"]),
            words.quantity(held["p"]),
            held["method"],
        )
        for candidate in certificate["candidates"]
        for held in candidate["held"]
    ]
    return table(columns, rows)
