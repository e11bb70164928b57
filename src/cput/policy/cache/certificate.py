"""The threshold of a semantic cache, and the proof of it: fitted on labelled pairs, for one embedder and one guard.

    certificate = await fit(load_pairs(Path("pairs.jsonl")), embedder, data="our support questions, October")
    certificate.save(Path("fitted.json"))
    certificate.words

**What is bounded.** Of the pairs that would be a hit (the guard passes them and their similarity reaches the
threshold), the share whose answers differ: P(false | hit), over the mix of the pairs given. With confidence ``c`` it is
at most ``bound``. Beside it stands the share of all differing pairs that would be a hit, which no bound is claimed for.

**How.** Fixed-sequence testing (Angelopoulos et al., Learn then Test, 2021, section 4): thresholds of a fixed grid from
the strictest down, each tested at level 1-c by the exact binomial bound of Clopper and Pearson; the last one before the
first that fails is taken. It starts at the first threshold with hits enough to pass without any false one (299 for 1 %
at 95 %): how many hits there are says nothing about which are false. Each language is fitted alone. The pairs are
assumed to be drawn independently, as those are that will be asked.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from cput.errors import InputError, SetupError
from cput.policy.cache.canon import canon
from cput.policy.cache.guard import guard_version, refusal
from cput.policy.cache.similarity import similarity

if TYPE_CHECKING:
    from cput.models import Manifest

GRID = tuple(at / 100 for at in range(99, 59, -1))
"""Thresholds, from the strictest down. Below the last nothing is tried: pairs that look so little alike are not what
the guard's words were written for, whatever the pairs at hand say."""


class Embeds(Protocol):
    """An embedding engine; ``cput.engines.embedder.Embedder`` is one."""

    @property
    def manifest(self) -> "Manifest":
        """Which model it is."""
        ...

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one vector of length 1 a text."""
        ...


class Pair(NamedTuple):
    """Two requests, and whether one answer is right for both."""

    one: str
    other: str
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The threshold of one language, and what it was measured on."""

    threshold: float | None
    """The least similarity of a hit; None where no threshold holds the bound: this language is never served."""
    pairs: int
    """Pairs in all."""
    different: int
    """Those of them whose answers differ."""
    hits: int
    """Pairs that would be a hit at the threshold."""
    false_hits: int
    """Those of them whose answers differ."""
    false_hit_upper: float | None
    """Upper confidence bound of P(false | hit)."""

    @property
    def same_hit_rate(self) -> float | None:
        """Share of the pairs with one answer that would be a hit."""
        same = self.pairs - self.different
        return (self.hits - self.false_hits) / same if same else None

    @property
    def false_among_different(self) -> float | None:
        """Share of the differing pairs that would be a hit."""
        return self.false_hits / self.different if self.different else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a semantic cache may go by."""

    embedder: str
    """Name of the embedding model."""
    embedder_sha256: str
    """SHA-256 of its weights."""
    guard: str
    """Version of the guard (see ``guard_version``)."""
    bound: float
    """Most of P(false | hit)."""
    confidence: float
    """Probability with which the bound holds, for each language."""
    date: str
    """Day of the fit (UTC)."""
    data: str
    """Which pairs, in words."""
    languages: Mapping[str, Fitted]
    """By language."""

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the threshold of each language that may be served."""
        return {name: found.threshold for name, found in self.languages.items() if found.threshold is not None}

    @property
    def words(self) -> str:
        """The certificate as sentences, for people."""
        return " ".join(self._sentence(name, found) for name, found in self.languages.items())

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON's own types."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one.

        Raises:
            InputError: it can't be read, or is none.
        """
        try:
            return cls._of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"the certificate {path} can't be read: {error}") from error

    @classmethod
    def shipped(cls, embedder: str) -> Self:
        """Return the one that ships for an embedding model.

        Raises:
            SetupError: none does.
        """
        found = files("cput.policy.cache").joinpath("fitted", f"{embedder}.json")
        if not found.is_file():
            raise SetupError(
                f"no threshold of a semantic cache is fitted for '{embedder}', and without one it does not start; fit "
                "one on your own pairs with cput.policy.cache.fit and give its file as certificate"
            )
        return cls._of(json.loads(found.read_text(encoding="utf-8")))

    @classmethod
    def _of(cls, held: dict[str, Any]) -> Self:
        languages = {name: Fitted(**found) for name, found in held.pop("languages").items()}
        return cls(**held, languages=languages)

    def require_for(self, manifest: "Manifest") -> None:
        """Raise SetupError where it was not measured with this embedder and this guard, or allows nothing."""
        if (manifest.name, manifest.sha256) != (self.embedder, self.embedder_sha256):
            raise SetupError(
                f"the semantic cache's threshold was fitted for '{self.embedder}' ({self.embedder_sha256[:12]}), and "
                f"this is '{manifest.name}' ({manifest.sha256[:12]}); fit it again with cput.policy.cache.fit"
            )
        if self.guard != guard_version():
            raise SetupError(
                f"the semantic cache's threshold was fitted with guard {self.guard}, and this is {guard_version()}; "
                "fit it again with cput.policy.cache.fit"
            )
        if not self.thresholds:
            raise SetupError(
                f"no threshold holds {self.bound:.2%} false hits with {self.confidence:.0%} confidence on the pairs "
                f"that it was fitted on ({self.data}), so the semantic cache does not start; give more pairs to fit"
            )

    def _sentence(self, name: str, found: Fitted) -> str:
        if found.threshold is None:
            return f"{name}: not served; no threshold holds {self.bound:.2%} on {found.pairs:,} pairs."
        return (
            f"{name}: from a similarity of {found.threshold:.2f} on, at most {self.bound:.2%} of the hits are false, "
            f"with {self.confidence:.0%} confidence (seen: {found.false_hits} of {found.hits:,} hits, in "
            f"{found.pairs:,} pairs of which {found.different:,} differ; {self.data}; {self.embedder}, {self.date})."
        )


def load_pairs(path: Path) -> list[Pair]:
    """Read pairs from JSON lines: ``{"one": "enable 2FA", "other": "turn on 2FA", "same": true}``.

    Raises:
        InputError: a line is none; names it.
    """
    pairs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the pairs {path} can't be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            held = json.loads(line)
            one, other, same = held["one"], held["other"], held["same"]
        except (ValueError, TypeError, KeyError):
            one, other, same = None, None, None
        if not (isinstance(one, str) and isinstance(other, str) and isinstance(same, bool)):
            raise InputError(f'{path}, line {number} is no pair; allowed: {{"one": TEXT, "other": TEXT, "same": true}}')
        pairs.append(Pair(one, other, same))
    return pairs


async def fit(
    pairs: Sequence[Pair],
    embedder: Embeds,
    *,
    bound: float = 0.01,
    confidence: float = 0.95,
    data: str = "the user's pairs",
    on: date | None = None,
) -> Certificate:
    """Fit the thresholds on labelled pairs; a language of which there are none is not served.

    Raises:
        InputError: no pairs, or a bound or confidence that is no share.
    """
    if not pairs:
        raise InputError("there are no pairs to fit a threshold on; allowed: 1 or more")
    for name, value in (("bound", bound), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value:g}; allowed: between 0 and 1")
    scores = await scored(pairs, embedder)
    language = np.array([language_of(pair) for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    names = sorted({*language.tolist()} - {""})
    return Certificate(
        embedder=embedder.manifest.name,
        embedder_sha256=embedder.manifest.sha256,
        guard=guard_version(),
        bound=bound,
        confidence=confidence,
        date=(on or datetime.now(UTC).date()).isoformat(),
        data=data,
        languages={
            name: threshold_of(scores[language == name], same[language == name], bound=bound, confidence=confidence)
            for name in names
        },
    )


def threshold_of(
    scores: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], *, bound: float, confidence: float
) -> Fitted:
    """Return the least threshold that holds; ``scores`` (pairs,) is -inf where the guard refuses a pair."""
    enough = math.ceil(math.log(1 - confidence) / math.log(1 - bound))
    best: tuple[float, int, int, float] | None = None
    for threshold in GRID:
        hit = scores >= threshold
        hits, false = int(hit.sum()), int((hit & ~same).sum())
        if hits < enough:
            continue
        upper = upper_bound(false, hits, confidence)
        if upper > bound:
            break
        best = (threshold, hits, false, upper)
    threshold, hits, false, upper = best or (None, 0, 0, None)  # type: ignore[assignment]
    return Fitted(
        threshold=threshold,
        pairs=len(scores),
        different=int((~same).sum()),
        hits=hits,
        false_hits=false,
        false_hit_upper=upper,
    )


def upper_bound(found: int, among: int, confidence: float) -> float:
    """Return the one-sided upper bound of a share (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    return 1.0 if found >= among else float(beta.ppf(confidence, found + 1, among - found))


async def scored(pairs: Sequence[Pair], embedder: Embeds) -> npt.NDArray[np.float64]:
    """Return the similarity of each pair that the guard passes; -inf for the others, which are not embedded."""
    passed = [at for at, pair in enumerate(pairs) if canon(pair.one) and refusal(pair.one, pair.other) is None]
    texts = list(dict.fromkeys(text for at in passed for text in pairs[at][:2]))
    place = {text: at for at, text in enumerate(texts)}
    scores = np.full(len(pairs), -np.inf)
    if not texts:
        return scores
    rows = await embedder.embed(texts)
    for at in passed:
        one, other = pairs[at][:2]
        scores[at] = similarity(float(rows[place[one]] @ rows[place[other]]), one, other)
    return scores


def language_of(pair: Pair) -> str:
    """Return the language that both are read in; empty where they differ, or can't be read."""
    one, other = canon(pair.one), canon(pair.other)
    return one.language if one is not None and other is not None and one.language == other.language else ""
