"""What a student is taught: texts with the label that proved right.

From references of a workload, or from a labeller's recorded answers whose outcome says that they were useful. That an
engine said it is no evidence: agreement with a teacher is never an outcome, so calls without a verdict, and useless
ones, teach nothing.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any, NamedTuple

from cput.errors import InputError
from cput.ledger.runs import CallRecord
from cput.ledger.verdict import verdict
from cput.records import Attempt, Call, Finish, Role, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Texts, each with its label."""

    texts: tuple[str, ...]
    """What was asked, ``n``."""
    labels: tuple[str, ...]
    """What the right answer is, ``n``."""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Slices: for each dimension a value for every text; empty where one has none."""
    weights: tuple[float, ...] = ()
    """How much each counts; empty is 1 each."""
    label_tokens: Mapping[str, int] = field(default_factory=dict)
    """Median output tokens of the recorded answers that gave a label; empty where nobody counted."""
    source: str = "unknown"
    """Where they come from."""
    licence: str = "unknown"
    """Their licence."""

    def __post_init__(self) -> None:
        """Hold the lengths to one another.

        Raises:
            InputError: a field has another number of values than there are texts.
        """
        sized: list[tuple[str, Sequence[Any]]] = [("labels", self.labels), *self.tags.items()]
        sized += [("weights", self.weights)] if self.weights else []
        for name, values in sized:
            if len(values) != len(self.texts):
                raise InputError(f"{name} has {len(values)} values; allowed: {len(self.texts)}, one a text")

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def counts(self) -> dict[str, int]:
        """Examples by label, the most frequent first."""
        return dict(Counter(self.labels).most_common())

    @property
    def sha256(self) -> str:
        """Digest of texts, labels and weights, in their order."""
        weights = self.weights or (1.0,) * len(self)
        lines = (json.dumps(row, ensure_ascii=True) for row in zip(self.texts, self.labels, weights, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Told(NamedTuple):
    """What recorded calls taught, and why others did not."""

    examples: Examples
    useless: int
    """Calls whose answer proved useless."""
    pending: int
    """Calls that nobody judged."""
    textless: int
    """Useful calls whose text or answer the ledger did not keep."""
    foreign: int
    """Useful answers that are none of the labels."""


def asked_of(call: Call) -> str | None:
    """Return what a student reads of a call: the last user message, or the raw prompt; None where there is neither."""
    said = [turn.content for turn in call.messages if turn.role == "user"]
    return said[-1] if said else call.prompt


def from_records(
    records: Sequence[CallRecord],
    *,
    labels: Sequence[str] = (),
    threshold: float = 1.0,
    source: str = "unknown",
    licence: str = "unknown",
) -> Told:
    """Return the examples in recorded calls: those whose outcomes say that the answer was useful.

    ``labels`` is the closed set; answers are matched to it without regard to case and outer space, and what fits none
    is left out. Without it every useful answer is its own label. An answer that a policy chose with a known propensity
    weighs its inverse, so that calls which are seldom asked count as often as they come.
    """
    known = {label.strip().casefold(): label for label in labels}
    found: list[tuple[str, str, float, Mapping[str, str]]] = []
    tokens: defaultdict[str, list[int]] = defaultdict(list)
    why: Counter[str] = Counter()
    for record in records:
        read = verdict(record.outcomes, threshold)
        if read is not Verdict.USEFUL:
            why[read] += 1
            continue
        attempt, text = answering(record), asked_of(record.call)
        if attempt is None or not attempt.text or not text:
            why["textless"] += 1
            continue
        said = attempt.text.strip()
        label = known.get(said.casefold()) if known else said
        if label is None:
            why["foreign"] += 1
            continue
        if attempt.usage.output is not None:
            tokens[label].append(attempt.usage.output)
        found.append((text, label, 1 / (attempt.propensity or 1.0), record.call.tags))
    names = sorted({name for *_, tags in found for name in tags})
    examples = Examples(
        texts=tuple(row[0] for row in found),
        labels=tuple(row[1] for row in found),
        weights=tuple(row[2] for row in found),
        tags={name: tuple(row[3].get(name, "") for row in found) for name in names},
        label_tokens={label: median_low(counts) for label, counts in tokens.items()},
        source=source,
        licence=licence,
    )
    return Told(examples, why[Verdict.USELESS], why[Verdict.PENDING], why["textless"], why["foreign"])


def answering(record: CallRecord) -> Attempt | None:
    """Return the attempt whose answer was judged: the one that an outcome names, else the last that served."""
    named = [outcome.attempt for outcome in record.outcomes if outcome.attempt is not None]
    served = [leg for leg in record.attempts if leg.role is Role.SERVE and leg.finish is Finish.STOP]
    if named:
        served = [leg for leg in record.attempts if leg.seq == named[-1]]
    return served[-1] if served else None
