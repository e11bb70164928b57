"""Policy: how a workload is served, by one engine or by several in turn, as plain settings.

small, large = Policy(model="smollm2-135m-instruct", concurrency=64), Policy(model="gemma-3-270m")
both = small.followed_by(large, stop="check")       # asks the large one where the small one's check fails
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

ENGINES = {"openvino": None, "openai": "url", "replay": "recording", "classifier": None}
"""Which engines a policy can run, and the setting that each needs besides its model."""
PRECISIONS = ("f16", "int8", "int4")
"""Of an embedded model's weights."""
STOPS = ("check", "confidence")
"""What can let an answer stand where another engine would follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a workload is served: by one engine, or by several in turn."""

    model: str
    """Name in the model store, a model folder, a student's folder, or the model's name at ``url`` or in a recording."""
    engine: str = "openvino"
    """openvino (a model of this machine), openai (``url``), replay (``recording``), classifier (a student)."""
    url: str | None = None
    """Endpoint of an OpenAI-compatible server, up to and including ``/v1``."""
    api_key_env: str | None = None
    """Environment variable with its key; None sends none."""
    recording: str | None = None
    """JSONL of recorded answers."""
    precision: str = "f16"
    """Weights: f16, int8 or int4."""
    kv_precision: str | None = None
    """KV cache: f16, bf16, u8, u4; None leaves it to the engine."""
    concurrency: int = 1
    """Calls in the batch at once."""
    prefix_cache: bool = False
    """Reuse the KV of shared prompt prefixes."""
    shared_first: str | None = None
    """What all prompts end with, to be put in front of them; None leaves prompts as they are."""
    prompt_lookup: bool = False
    """Speculate from n-grams of the prompt."""
    attempts: int = 1
    """Most legs of a call whose answer fails the check."""
    retry_together: bool = False
    """Send the second and later legs at the same time and take the first that passes."""
    retry_temperature: float = 0.7
    """Temperature of the second and later legs."""
    abandon: bool = False
    """Hang up on answers that can't become useful."""
    constrain: bool = False
    """Force what the check demands while an answer is generated."""
    stop: str | None = None
    """What lets its answer stand where another engine would follow: check, confidence; None on the last one."""
    threshold: float | None = None
    """The confidence in [0, 1] from which it stands; for ``stop = "confidence"`` and for a student."""
    strong: str | None = None
    """The model, one of its engines, that explored calls and an alarm go to; None is the last one."""
    router: str | None = None
    """Folder of a fitted router that chooses one of the engines from the request, in place of asking in turn."""
    worth_per_usd: float | None = None
    """The router takes the most useful engine less this much usefulness for each dollar that it costs."""
    then: tuple["Policy", ...] = ()
    """Who is asked, in turn, where the answer before is not let stand; or who else a router may choose."""

    @property
    def words(self) -> str:
        """The policy in a few words, for reports."""
        at_once = "one at a time" if self.concurrency == 1 else f"{self.concurrency} at once"
        return "; ".join([", ".join([*self._weights, at_once, *self._extras]), *self._others])

    @property
    def settings(self) -> str:
        """The policy in a few words where the arrivals are said apart."""
        return "; ".join([", ".join([*self._weights, *self._extras]), *self._others])

    @property
    def named(self) -> str:
        """The policy in a few words where it stands beside others with another model."""
        return f"{self.short} {self.words}"

    @property
    def short(self) -> str:
        """The model's name without its folder."""
        return Path(self.model).name

    @property
    def legs(self) -> tuple["Policy", ...]:
        """Its engines in the order in which they are asked, each as a policy of its own."""
        return (replace(self, then=()), *self.then)

    def followed_by(self, *others: "Policy", stop: str, thresholds: Sequence[float | None] = ()) -> Self:
        """Return the policy that asks ``others`` too, in turn, wherever ``stop`` does not let an answer stand.

        ``thresholds`` are those of all legs but the last.
        """
        given = [*thresholds, *[None] * (len(others) - len(thresholds))]
        middle = [replace(leg, stop=stop, threshold=at) for leg, at in zip(others[:-1], given[1:], strict=False)]
        return replace(self, stop=stop, threshold=given[0] if given else None, then=(*middle, others[-1]))

    @property
    def strongest(self) -> int:
        """The place of the engine that explored calls and an alarm go to."""
        models = [leg.model for leg in self.legs]
        return models.index(self.strong) if self.strong in models else len(models) - 1

    @property
    def _weights(self) -> list[str]:
        return [self.precision.upper()] if self.engine == "openvino" else [self.engine]

    @property
    def _others(self) -> list[str]:
        if self.router is not None:
            return ["or, as a router says, " + " or ".join(f"{leg.short} {leg.settings}" for leg in self.then)]
        return [f"where {_doubt(before)}, {leg.short} {leg.settings}" for before, leg in pairwise(self.legs)]

    @property
    def _extras(self) -> list[str]:
        parts = [f"KV {self.kv_precision}"] if self.kv_precision else []
        parts += ["prefix cache"] if self.prefix_cache else []
        parts += ["shared instructions first"] if self.shared_first else []
        parts += ["prompt lookup"] if self.prompt_lookup else []
        parts += ["constrained by its check"] if self.constrain else []
        parts += ["abandons lost answers"] if self.abandon else []
        how = ", retries together" if self.retry_together else ""
        parts += [f"up to {self.attempts} attempts{how}"] if self.attempts > 1 else []
        return parts


def _doubt(leg: Policy) -> str:
    if leg.engine == "classifier":
        return "it is unsure"
    return "its check fails" if leg.stop == "check" else f"its confidence is below {leg.threshold:.2f}"
