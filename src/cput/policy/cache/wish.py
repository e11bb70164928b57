"""What a caller may say about the cache: the tag ``x-cput-cache`` of a call, which a gateway sets from its headers.

    wish_of(call).read, wish_of(call).keep

| tag | answers from the cache | the answer is kept |
|---|---|---|
| none, or ``auto`` | of calls that are deterministic | likewise |
| ``on`` | of every call, a sampled one too | likewise |
| ``off`` | never | never |
| ``fresh`` | never | as without a tag, in place of what was there |

A tag reaches nobody but its own tenant's calls: the key holds the tenant, and the tag is no part of it. A value that is
none of these is ``off``.
"""

from typing import NamedTuple

from cput.records import Call

TAG = "x-cput-cache"
WISHES = ("auto", "on", "off", "fresh")


class Wish(NamedTuple):
    """What may be done for a call."""

    read: bool
    """It may be answered from the cache."""
    keep: bool
    """Its answer may be kept."""


def wish_of(call: Call) -> Wish:
    """Return what may be done for a call, by its tag and its sampling.

    Deterministic is a call that is drawn greedily (temperature 0), and one for vectors. A seed is none: engines promise
    the same draw only for the same batch.
    """
    said = call.tags.get(TAG, "auto").strip().lower()
    settled = bool(call.embed) or call.sampling.temperature == 0
    if said == "on":
        return Wish(read=True, keep=True)
    if said == "auto":
        return Wish(read=settled, keep=settled)
    return Wish(read=False, keep=said == "fresh" and settled)
