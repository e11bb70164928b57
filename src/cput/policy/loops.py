"""A text that has fallen into a loop: small models under greedy decoding repeat one passage until they are cut off."""

WINDOW = 600
"""Characters at the end that are looked at."""
LEAST_REPEATS = 4
LEAST_CHARS = 120


def repeats_itself(text: str) -> bool:
    """Return whether the end of ``text`` is one passage of up to 150 characters, four times or more, word for word.

    The repetition must fill at least 120 characters, so that a row of dashes or a short list is none. A text whose
    last half thousand characters repeat does not come back from there under greedy decoding; it is *hopeless* in the
    sense of ``abandon`` only together with a check that it has not passed.
    """
    end = text[-WINDOW:]
    for period in range(1, WINDOW // LEAST_REPEATS + 1):
        span = max(LEAST_CHARS, period * LEAST_REPEATS)
        if len(end) < span:
            return False
        tail = end[-span:]
        if tail[period:] == tail[:-period]:
            return True
    return False
