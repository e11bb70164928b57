"""Moments and periods as people write them; all are UTC unless they say otherwise."""

from datetime import UTC, datetime, timedelta

from cput.errors import InputError

_FORMS = ("%Y", "%Y-%m", "%Y-%m-%d")


def moment(text: str, flag: str) -> datetime:
    """Return ``2026-11-25`` or ``2026-11-25T08:00+01:00`` as a moment; ``flag`` names it in the message.

    >>> moment("2026-11-25", "--at").isoformat()
    '2026-11-25T00:00:00+00:00'
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f"{flag} is '{text}'; allowed: a date or time such as 2026-11-25 or 2026-11-25T08:00"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def period(text: str, flag: str) -> tuple[datetime, datetime]:
    """Return the first moment of a year, month or day, and the first one after it.

    >>> [str(edge.date()) for edge in period("2026-12", "--period")]
    ['2026-12-01', '2027-01-01']
    """
    parts = text.strip().split("-")
    try:
        start = datetime.strptime(text.strip(), _FORMS[len(parts) - 1]).replace(tzinfo=UTC)
    except (ValueError, IndexError) as error:
        raise InputError(f"{flag} is '{text}'; allowed: a year, month or day: 2026, 2026-11 or 2026-11-25") from error
    if len(parts) == 3:
        return start, start + timedelta(days=1)
    years, months = divmod(start.month, 12) if len(parts) == 2 else (1, 0)
    return start, start.replace(year=start.year + years, month=months + 1)
