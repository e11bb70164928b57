"""The semantic part of a cache: finds a request that asks the same in other words.

    semantic = Semantic(open_engine("embedder", model="all-minilm-l6-v2"), Certificate.shipped("all-minilm-l6-v2"))
    cache = Cache(MemoryStore(), semantic=semantic)

Only the last user turn may differ. All else (tenant, model, policy, sampling, tools, system prompt, earlier turns) is
the *scope*, and no neighbour is looked for outside it. A neighbour answers when the guard passes the two texts and
their similarity reaches the threshold that its certificate proves; a caller may raise it, and never lower it.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cput.errors import EngineError, InputError
from cput.ledger.meter import Metered, Pricer, without_text
from cput.policy.cache.bills import Bills
from cput.policy.cache.canon import canon
from cput.policy.cache.certificate import Certificate, Embeds
from cput.policy.cache.guard import refusal
from cput.policy.cache.key import scope_of
from cput.policy.cache.similarity import similarity
from cput.policy.cache.store import Newcomer, Place, Store
from cput.protocols import Engine
from cput.records import Call, Vectors, changed

NEIGHBOURS = 16
"""Nearest entries that are looked at."""


class Embedding(Engine, Embeds, Protocol):
    """An embedding engine that answers calls."""

    async def start(self) -> None:
        """Load it."""
        ...


class Question(NamedTuple):
    """A call as the semantic cache sees it."""

    scope: bytes
    """Digest of all but the last turn."""
    text: str
    """The last turn."""
    language: str
    """How the guard reads it."""
    vector: npt.NDArray[np.float32]
    """Its vector, of length 1."""

    @property
    def place(self) -> Place:
        """Where an entry of it lies."""
        return Place(self.scope, self.vector.astype("<f4").tobytes(), self.text)


class Found(NamedTuple):
    """A neighbour that may answer."""

    key: bytes
    """Its key in the store."""
    score: float
    """Its similarity."""
    threshold: float
    """What that was held against."""


class Semantic:
    """See the module.

    Args:
        embedder: makes the vectors; each look-up is an attempt of its call, with the role ``embed``.
        certificate: what the thresholds rest on.
        threshold: a higher one for every language; None is the certificate's.
        prices: what the embedding legs cost; None charges nothing, and the calls' cost is then unknown.
        most: entries of a scope that are searched, the newest.
        scopes: scopes whose vectors are kept at hand.
    """

    def __init__(
        self,
        embedder: Embedding,
        certificate: Certificate,
        *,
        threshold: float | None = None,
        prices: Pricer | None = None,
        most: int = 2048,
        scopes: int = 256,
    ) -> None:
        """Take the thresholds.

        Raises:
            SetupError: the certificate is of another embedder or guard, or allows no threshold.
            InputError: a threshold below a fitted one.
        """
        certificate.require_for(embedder.manifest)
        for language, fitted in certificate.thresholds.items():
            if threshold is not None and not fitted <= threshold <= 1:
                raise InputError(
                    f"threshold is {threshold:g}; allowed: {fitted:g} to 1, since below that nothing is proven "
                    f"of false hits ({language})"
                )
        self.certificate = certificate
        self.thresholds = {name: max(found, threshold or 0) for name, found in certificate.thresholds.items()}
        self._embedder = embedder
        self._prices = prices
        self._most, self._scopes = most, scopes
        self._near: OrderedDict[bytes, _Scope] = OrderedDict()

    async def start(self) -> None:
        """Load the embedding engine; the first look-up does it otherwise."""
        await self._embedder.start()

    async def asked(self, call: Call, bills: Bills, *, model: str, version: str) -> Question | None:
        """Return a call as a question; None where it has none that may be compared, or its vector can't be made."""
        scoped = scope_of(call, model=model, version=version)
        read = None if scoped is None else canon(scoped[1])
        if scoped is None or read is None or read.language not in self.thresholds:
            return None
        vector = await self._vector(call, scoped[1], bills)
        return None if vector is None else Question(scoped[0], scoped[1], read.language, vector)

    async def nearest(self, question: Question, store: Store) -> AsyncGenerator[Found, None]:
        """Yield the entries that may answer, the most similar first."""
        scope = await self._scope(question.scope, store)
        threshold = self.thresholds[question.language]
        found = [
            Found(entry.key, score, threshold)
            for entry, cosine in scope.nearest(question.vector)
            if (score := similarity(cosine, question.text, entry.text)) >= threshold
            and refusal(question.text, entry.text) is None
        ]
        for each in sorted(found, key=lambda one: -one.score):
            yield each

    def gone(self, scope: bytes, key: bytes) -> None:
        """Forget an entry that the store has no more."""
        if (near := self._near.get(scope)) is not None:
            near.drop(key)

    async def aclose(self) -> None:
        """Close the embedding engine."""
        await self._embedder.aclose()

    async def _vector(self, call: Call, text: str, bills: Bills) -> npt.NDArray[np.float32] | None:
        leg = changed(without_text(call), embed=(text,), dimensions=None)
        try:
            pieces = [piece async for piece in Metered(self._embedder, bills, prices=self._prices).answer(leg)]
        except EngineError:
            return None  # it is on record; the call is a miss
        rows = [piece for piece in pieces if isinstance(piece, Vectors) and not piece.cut]
        return rows[0].values[0] if len(rows) == 1 else None

    async def _scope(self, name: bytes, store: Store) -> "_Scope":
        near = self._near.setdefault(name, _Scope(self._most))
        self._near.move_to_end(name)
        while len(self._near) > self._scopes:
            self._near.popitem(last=False)
        near.add(await store.newcomers(name, near.last, self._most))
        return near


@dataclass(slots=True)
class _Scope:
    """The entries of one scope that are at hand."""

    most: int
    last: int = 0
    entries: OrderedDict[bytes, Newcomer] = field(default_factory=OrderedDict)
    matrix: npt.NDArray[np.float32] | None = None

    def add(self, newcomers: list[Newcomer]) -> None:
        for each in newcomers:
            self.entries.pop(each.key, None)
            self.entries[each.key] = each
            self.last = each.number
        while len(self.entries) > self.most:
            self.entries.popitem(last=False)
        if newcomers:
            self.matrix = None

    def drop(self, key: bytes) -> None:
        if self.entries.pop(key, None) is not None:
            self.matrix = None

    def nearest(self, vector: npt.NDArray[np.float32]) -> list[tuple[Newcomer, float]]:
        if not self.entries:
            return []
        if self.matrix is None:
            self.matrix = np.stack([np.frombuffer(each.vector, "<f4") for each in self.entries.values()])
        if self.matrix.shape[1] != len(vector):
            return []
        cosines = self.matrix @ vector
        held = list(self.entries.values())
        return [(held[at], float(cosines[at])) for at in np.argsort(-cosines)[:NEIGHBOURS]]
