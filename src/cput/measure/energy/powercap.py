"""RAPL through the kernel's powercap tree: what CPU packages and their memory have used, in microjoules.

    /sys/class/powercap/intel-rapl:0/{name,energy_uj,max_energy_range_uj}     package-0 (AMD's are named so too)
    /sys/class/powercap/intel-rapl:0:1/...                                    its parts: core, uncore, dram

Counted are the packages and their ``dram``, which lies outside them; ``core`` and ``uncore`` lie inside and ``psys``
around them. Read directly, since the libraries for it pull in much more than it needs: zeus 0.16 pandas, scikit-learn
and a process per counter, codecarbon 3.3 pandas, authlib, questionary and a telemetry client.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cput.measure.energy.counter import Counter

POWERCAP = Path("/sys/class/powercap")
_ZONE = re.compile(r"^intel-rapl:(?P<package>\d+)(?::(?P<part>\d+))?$")
_MOST_WATTS = 2000.0
_LONGEST_PERIOD_S = 30.0
_MIRROR_UJ = 1_000_000


class Found(NamedTuple):
    """Counters of one kind, and what a reader must know of what they leave out."""

    counters: Sequence[Counter]
    """What can be read."""
    missing: str | None
    """Why something that uses energy is not counted; None where all of this kind is, or nothing of it is there."""


class Zone:
    """A counter of one powercap zone. It runs up to ``max_energy_range_uj`` and begins again at 0."""

    kind = "cpu"

    def __init__(self, folder: Path, component: str) -> None:
        """Read the zone once.

        Raises:
            OSError: when it may not be read (since Linux 5.10 only root may).
            ValueError: when it does not hold numbers.
        """
        self.component = component
        self.source = f"RAPL {component} ({folder.name})"
        self._file = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
        self.period_s = min(_LONGEST_PERIOD_S, max(1.0, self._range_uj / 1e6 / _MOST_WATTS))
        self._last_uj = self.raw_uj()
        self._total_uj = 0

    def raw_uj(self) -> int:
        """Return the counter as it stands, in microjoules."""
        return int(self._file.read_text(encoding="ascii"))

    def joules(self) -> float:
        """Return the joules since the zone was opened; to be called once per ``period_s``, so that no round is lost."""
        now = self.raw_uj()
        step = now - self._last_uj
        self._total_uj += step if step >= 0 else step + self._range_uj
        self._last_uj = now
        return self._total_uj / 1e6


def powercap_counters(root: Path = POWERCAP) -> Found:
    """Open the counters of the packages and their memory under ``root``."""
    folders = sorted(folder for folder in _listed(root) if _ZONE.match(folder.name))
    if not folders:
        return Found((), "this machine has no RAPL counter (none under /sys/class/powercap)")
    names = {folder.name: _name(folder) for folder in folders}
    try:
        zones = [
            Zone(folder, component) for folder in folders if (component := _component(folder.name, names)) is not None
        ]
    except PermissionError as error:
        return Found((), f"RAPL may be read by root alone. Run: sudo chmod a+r {error.filename}")
    except (OSError, ValueError) as error:
        return Found((), f"the RAPL counters under {root} cannot be read ({error})")
    kept = _without_mirrors(zones)
    return Found(kept, None if kept else f"no RAPL zone under {root} is a package")


def _component(zone: str, names: dict[str, str]) -> str | None:
    """Return the component that a zone is counted as, or None where another zone counts it already."""
    match = _ZONE.match(zone)
    assert match is not None
    above = names.get(f"intel-rapl:{match['package']}", "")
    if not above.startswith("package"):
        return None
    if match["part"] is None:
        return above
    return f"dram-{above.removeprefix('package-')}" if names[zone] == "dram" else None


def _without_mirrors(zones: Sequence[Zone]) -> tuple[Zone, ...]:
    """Drop a die's zone that shows the same count as another die of its package.

    Some multi-die processors show the whole socket's counter once per die (AMD Threadripper and EPYC; codecarbon issue
    1274). Independent counters do not agree to within a joule.
    """
    kept: list[Zone] = []
    for zone in zones:
        package = zone.component.partition("-die-")[0]
        twins = [other for other in kept if other.component.partition("-die-")[0] == package != zone.component]
        if not any(abs(zone.raw_uj() - twin.raw_uj()) < _MIRROR_UJ for twin in twins):
            kept.append(zone)
    return tuple(kept)


def _listed(root: Path) -> Sequence[Path]:
    try:
        return tuple(root.iterdir())
    except OSError:
        return ()


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
