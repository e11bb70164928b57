"""Time zones by name, and a sentence for a name that is none."""

import difflib
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cput.errors import InputError, SetupError


def time_zone(name: str) -> tzinfo:
    """Return the time zone of that name; UTC needs no data of the machine's."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        names = available_timezones()
    if not names:
        raise SetupError(f"this machine has no time zone data for '{name}'; run: pip install tzdata")
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    raise InputError(f"unknown time zone '{name}'{hint} Allowed: UTC, or a name such as Asia/Shanghai or Europe/Berlin")
