"""Runs the engine laws and says which ones an engine breaks."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from cput.errors import unknown
from cput.protocols import Engine
from cput.testing.bench import Bench
from cput.testing.embedding_laws import EMBEDDING_LAWS
from cput.testing.laws import LAWS, Law


class BrokenLaw(AssertionError):  # noqa: N818  # reads as the sentence it stands for
    """An engine that does not keep the contract; ``law`` is the name of the law."""

    def __init__(self, law: str, says: str, seen: str) -> None:
        super().__init__(f"{law}: {says} But: {seen}")
        self.law = law


async def check_engine(
    make: Callable[[], Engine],
    *,
    real: bool = False,
    embeds: bool = False,
    laws: Collection[Law | str] | None = None,
    without: Collection[Law | str] = (),
    too_long: str | None = None,
    timeout_s: float = 60.0,
) -> tuple[str, ...]:
    """Check an engine against the contract of ``cput.protocols`` and return the names of the laws it keeps.

    Args:
        make: returns a fresh engine.
        real: True for a model. False promises that the engine gives the last user message back, word for word, within
            the sampling's bounds, so that the battery can check every text exactly.
        embeds: True for an engine that makes vectors of texts; it is held to ``EMBEDDING_LAWS``, and ``real`` means
            nothing.
        laws: check these alone (names or members of ``LAWS``); None is all.
        without: laws that the engine cannot know, e.g. ``max_new_tokens`` for a recording.
        too_long: a prompt that the engine must refuse as too long; None skips that law.
        timeout_s: limit on each law; an engine that hangs breaks it.

    Raises:
        BrokenLaw: the laws it breaks, all of them in one message.
        InputError: a law that does not exist.
    """
    book = EMBEDDING_LAWS if embeds else LAWS
    skipped = {law.name for law in _chosen(without, book)} | ({"too_long"} if too_long is None else set())
    wanted = [law for law in (book if laws is None else _chosen(laws, book)) if law.name not in skipped]
    broken: list[BrokenLaw] = []
    for group in _groups(wanted):
        engine = make()
        bench = Bench(engine=engine, real=real, too_long=too_long)
        try:
            broken += [found for law in group if (found := await _broken(law, bench, timeout_s)) is not None]
        finally:
            unclosed = await _close(engine, timeout_s)
        if unclosed is not None and unclosed.law not in {one.law for one in broken}:
            broken.append(unclosed)
    if len(broken) == 1:
        raise broken[0]
    if broken:
        raise BrokenLaw(", ".join(one.law for one in broken), f"{len(broken)} laws.", "\n".join(map(str, broken)))
    return tuple(law.name for law in wanted)


def _chosen(laws: Collection[Law | str], book: Sequence[Law]) -> list[Law]:
    known = {law.name: law for law in book}
    for law in laws:
        if str(law) not in known:
            raise unknown("law", str(law), known)
    return [known[str(law)] for law in laws]


def _groups(laws: Sequence[Law]) -> list[list[Law]]:
    shared = [law for law in laws if not law.closes]
    return [shared] * bool(shared) + [[law] for law in laws if law.closes]


async def _broken(law: Law, bench: Bench, timeout_s: float) -> BrokenLaw | None:
    try:
        async with asyncio.timeout(timeout_s):
            await law.check(bench)
    except TimeoutError as error:
        return _found(law, f"nothing came within {timeout_s:g} s", error)
    except AssertionError as error:
        return _found(law, str(error) or "it did not hold", error)
    except Exception as error:  # noqa: BLE001  # whatever an engine raises breaks the law and must not end the battery
        return _found(law, f"{type(error).__name__}: {error}", error)
    return None


async def _close(engine: Engine, timeout_s: float) -> BrokenLaw | None:
    """Close an engine at the battery's end; one that can't be closed breaks the law of that name."""
    law = next(law for law in LAWS if law.name == "aclose")
    try:
        async with asyncio.timeout(timeout_s):
            await engine.aclose()
    except Exception as error:  # noqa: BLE001  # as above
        return _found(law, f"{type(error).__name__}: {error}", error)
    return None


def _found(law: Law, seen: str, cause: Exception) -> BrokenLaw:
    found = BrokenLaw(law.name, law.says, seen)
    found.__cause__ = cause
    return found
