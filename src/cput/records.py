"""The words: what one token's story is written down as.

Records are frozen; a sentence under each field settles what is counted where. ``None`` means unknown, never 0.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import uuid_utils

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def new_id() -> str:
    """Return a fresh UUIDv7 (RFC 9562): sortable by time, safe to make in many processes."""
    return str(uuid_utils.uuid7())


Record = TypeVar("Record")


def changed(record: Record, /, **changes: Any) -> Record:
    """Return a copy of a record with other values in some fields: ``dataclasses.replace``, in a third of its time."""
    kind: Any = type(record)
    kept = {name: getattr(record, name) for name in _names(kind)}
    made: Record = kind(**(kept | changes))
    return made


@lru_cache(maxsize=256)
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


class Role(StrEnum):
    """What one attempt did for its call; every role is charged."""

    SERVE = "serve"
    VERIFY = "verify"
    JUDGE = "judge"
    EMBED = "embed"
    GUARDRAIL = "guardrail"
    SHADOW = "shadow"
    HEDGE = "hedge"


class Source(StrEnum):
    """Who gave an outcome. Agreement with a teacher model is never one."""

    CHECK = "check"
    USER = "user"
    BUSINESS = "business"
    JUDGE = "judge"
    HUMAN = "human"


class Verdict(StrEnum):
    """The reading of a call's outcomes. Pending is not useless."""

    USEFUL = "useful"
    USELESS = "useless"
    PENDING = "pending"


class CountedBy(StrEnum):
    """Who counted the tokens of a Usage."""

    PROVIDER = "provider"
    ENGINE = "engine"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts by class and device time of one attempt. The input classes are disjoint and sum to the input."""

    input_uncached: int | None = None
    """Prompt tokens that were computed."""
    input_cache_read: int | None = None
    """Prompt tokens served from a prefix cache."""
    input_cache_write: int | None = None
    """Prompt tokens that a provider charges for writing to its cache; None where it does not say."""
    output: int | None = None
    """Generated tokens, reasoning included, end-of-text token included where the engine counts it; 0 for vectors."""
    reasoning: int | None = None
    """Generated tokens that the user never sees; part of ``output``."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Finer amounts, each a part of a class above or billed beside them, by genai-prices' names (input_audio_tokens,
    cache_write_1h_tokens, web_searches). A class that nobody reported is not there; an explicit 0 is."""
    engine_s: float | None = None
    """Seconds of device time: this attempt's share of every engine step it took part in."""
    complete: bool = False
    """False where the stream was cut off before the count was final."""
    counted_by: CountedBy = CountedBy.UNKNOWN
    """Who counted."""

    @property
    def input(self) -> int | None:
        """All prompt tokens, or None where any class is unknown."""
        parts = (self.input_uncached, self.input_cache_read, self.input_cache_write)
        return None if self.input_uncached is None else sum(part or 0 for part in parts)


class GrammarKind(StrEnum):
    """How an answer is constrained while it is generated."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    EBNF = "ebnf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """A constraint on the answer's text."""

    kind: GrammarKind
    """Which language the constraint is written in."""
    value: str | tuple[str, ...]
    """The schema as JSON text, the pattern, the grammar, or the allowed answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is drawn. The default is greedy."""

    max_new_tokens: int = 512
    """Upper bound on generated tokens, end-of-text included."""
    temperature: float = 0.0
    """0 is greedy; otherwise the softmax temperature."""
    top_p: float = 1.0
    """Nucleus: the smallest set of tokens whose probability reaches this."""
    top_k: int | None = None
    """Keep this many tokens; None keeps all."""
    seed: int | None = None
    """Seed of the draw; the same seed, engine and batch give the same answer only where the engine says so."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""
    repetition_penalty: float = 1.0
    """Divides the logit of tokens already seen (1 is off)."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token already generated."""
    frequency_penalty: float = 0.0
    """Subtracted once per earlier occurrence."""
    logprobs: bool = False
    """Ask for the log-probability of each chosen token."""
    echo: bool = False
    """Ask for the log-probabilities of the prompt's tokens; with ``max_new_tokens`` of 0 or 1 this scores a text."""
    ignore_eos: bool = False
    """Go on past the end-of-text token up to ``max_new_tokens`` (for benchmarks of exact length)."""
    grammar: Grammar | None = None
    """A constraint on the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, user, assistant or tool."""
    content: str
    """The text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of an application: ``messages`` (chat), ``prompt`` (raw text, no template) or ``embed`` is set."""

    id: str = field(default_factory=new_id)
    """UUIDv7; also the response id."""
    messages: tuple[Message, ...] = ()
    """The conversation so far."""
    prompt: str | None = None
    """A raw text to continue; no chat template is applied."""
    embed: tuple[str | tuple[int, ...], ...] = ()
    """Texts to make vectors of; one may be given as token ids of the model's own vocabulary, without special tokens."""
    dimensions: int | None = None
    """Length of the vectors, where ``embed`` asks for shorter ones than the model's own; None is its own."""
    sampling: Sampling = field(default_factory=Sampling)
    """How the answer is drawn."""
    stream: bool = True
    """Whether it is read piece by piece; otherwise an engine may give it in one."""
    workload: str | None = None
    """Name of the workload this call belongs to."""
    item: str | None = None
    """Id of the workload's item, where the call comes from one."""
    tenant: str | None = None
    """Who asks; part of every cache key."""
    external_key: str | None = None
    """A key of the caller's (order number) by which outcomes may arrive."""
    policy: str | None = None
    """Name of the policy that served it."""
    propensity: float | None = None
    """Probability in (0, 1] of the way by which this call came here, where a policy above drew one; the ledger keeps it
    with each leg. None where nothing was drawn."""
    episode: str | None = None
    """An id that several calls share whose outcome is one (a conversation, an order)."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Slices this call belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of an answer, as it arrives. ``text`` never splits a character."""

    text: str = ""
    """New text; may be empty where tokens arrived that do not complete a character yet."""
    tokens: int = 0
    """Generated tokens that this piece carries (for inter-token latency)."""
    logprobs: tuple[float, ...] = ()
    """Natural log-probability of each of those tokens, where asked for."""
    prompt_logprobs: tuple[float, ...] = ()
    """Natural log-probability of each prompt token but the first, where ``echo`` was asked for."""
    whole: bool = False
    """All of the answer in one piece: when its first token was made, nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors(Piece):
    """Vectors of some of the texts in ``Call.embed``, as they are ready. It carries no text and no generated token."""

    places: tuple[int, ...]
    """Which texts, by their place in ``embed``."""
    values: "npt.NDArray[np.float32]"
    """One row for each of ``places``."""
    cut: tuple[int, ...] = ()
    """Those of ``places`` whose text was longer than the model reads: the vector is of its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One engine that a policy might have asked for a call, and what it knew of it then."""

    engine: str
    """Its name."""
    asked: bool = False
    """Whether it was asked for this call."""
    score: float | None = None
    """What the policy went by: the estimated probability of a useful answer, a similarity, a check's value."""
    threshold: float | None = None
    """What the score was held against; None where it was only compared with the others."""
    cost_usd: float | None = None
    """What it was expected to cost, or had cost."""
    note: str = ""
    """What a stop rule or a check found, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Why a call was answered as it was: who could have been asked, what each scored, and the reason for the choice."""

    chosen: str
    """Name of the engine whose answer was given."""
    reason: str
    """Reason code: cache_exact, cache_semantic, student_sure, router, stop_rule, last_leg, explored, alarm_fallback."""
    options: tuple[Option, ...] = ()
    """All that the policy considered, in its order."""
    policy: str | None = None
    """Name of the policy."""
    propensity: float | None = None
    """Probability in (0, 1] with which the policy chose so; None where nothing was drawn."""
    source_call: str | None = None
    """The call whose answer was given again, where a cache answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer closed."""

    finish: Finish
    """Why it ended."""
    usage: Usage
    """What it used."""
    model: str | None = None
    """The model that answered, as the engine names it."""
    attempt: int | None = None
    """The number of the attempt that gave this answer, where the call was metered."""
    provider: str | None = None
    """Who bills it, as genai-prices names providers (openai, azure, zhipuai); None for one's own device, or unknown."""
    service_tier: str | None = None
    """The tier it was served and is billed at, where the provider says so (flex, priority, batch)."""
    grounds: Grounds | None = None
    """Why this engine answered, where a policy chose; the outermost policy's word stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One leg of a call sent to one engine, with times in seconds of a wall clock (Unix)."""

    call_id: str
    """The call it served."""
    seq: int
    """0 for the first leg of the call, then 1, 2, ..."""
    role: Role = Role.SERVE
    """What this leg did."""
    engine: str
    """Name of the engine."""
    model: str | None = None
    """Model as the engine names it."""
    provider: str | None = None
    """Who bills it (see ``Ending``)."""
    service_tier: str | None = None
    """The tier it is billed at (see ``Ending``)."""
    propensity: float | None = None
    """Probability in (0, 1] of the way that led to this leg (``Call.propensity``); None where nothing was drawn."""
    usage: Usage
    """What it used; also for legs that failed."""
    started_s: float
    """When it was sent."""
    ttft_s: float | None = None
    """Seconds from sending to the first generated token."""
    e2e_s: float | None = None
    """Seconds from sending to the end of the answer."""
    finish: Finish
    """Why it ended."""
    error: str | None = None
    """The error's sentence, where it failed."""
    text: str | None = None
    """The answer, where the ledger keeps text."""
    gaps_s: tuple[float, ...] = ()
    """Seconds between pieces (inter-token latency)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an attempt, or an idle window, cost."""

    call_id: str | None
    """The call, or None for a window's idle time."""
    seq: int | None
    """The attempt, or None for a window's idle time."""
    incremental_nano_usd: int | None
    """Money this leg added; None where no price is known."""
    avoided_nano_usd: int = 0
    """Money that a cache or a student saved against the original engine."""
    price_version: str
    """Which dated price it was computed with."""
    basis: str
    """``usage`` (device seconds or tokens times price), ``idle`` (reserved but unused), ``flat``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Evidence about a call. May come early, late, twice (same id), revised, by external key or for an episode."""

    id: str = field(default_factory=new_id)
    """Idempotency key: the same id twice is one outcome."""
    call_id: str | None = None
    """The call it is about, or None where ``external_key`` or ``episode`` says it."""
    external_key: str | None = None
    """The caller's key, where no call id is known."""
    episode: str | None = None
    """The episode whose every call it speaks for, where one word judges several (a conversation, an order)."""
    attempt: int | None = None
    """The number of the attempt whose answer the caller got, where the observer knows it; with racing legs only they
    do."""
    name: str
    """What was observed (a check's name, thumbs, refund)."""
    value: float
    """1 is useful, 0 is not; graded checks lie between and are read with the workload's threshold."""
    source: Source
    """Who says so."""
    observed_s: float = field(default_factory=time.time)
    """When (Unix seconds)."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What the check found, for people."""
