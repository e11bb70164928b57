"""Stacked: the router's estimator. Members estimate, and held-out answers say how far each is believed.

    estimator = fit(train, members=("linear", "topic"), embedding=Embedding("all-minilm-l6-v2"), tag="subject")
    estimator.estimate(["What is 7 * 8?"]).quality
    estimator.save("routers/mmlu"); load_estimator("routers/mmlu")

Only the request's text is read at serving time; a tag is learned from, and guessed from the text later. Members' words
are weighed by least squares with weights of 0 or more on predictions for prompts they had not seen, which calibrates
and stacks them in one step. *Level* (how hard a prompt is for all engines) and *contrast* (who is better at it) have
weights of their own: a choice is made by the contrast, which is far the noisier.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cput.errors import InputError, unknown
from cput.policy.baselines import known_rows
from cput.policy.recorded import Recorded
from cput.policy.router.costs import CostLines
from cput.policy.router.embedding import Embedding
from cput.policy.router.estimates import Estimates, Tags
from cput.policy.router.features import Features, Reader
from cput.policy.router.files import read_head, read_learned, write_head, write_learned
from cput.policy.router.members import FITS, KINDS, Lesson, Member
from cput.policy.router.ridge import gram_of_words
from cput.policy.router.text import Matrix, Template, Words

KIND = "stacked"
LEAST_PROMPTS = 20
NEEDS_VECTORS = ("perceptron",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How far each of ``k`` members is believed."""

    level: tuple[float, ...]
    """In how hard a prompt is."""
    contrast: tuple[float, ...]
    """In who is better at it."""
    means: tuple[tuple[float, ...], ...]
    """(k, m): each member's mean for each engine, which its words are held against."""
    overall: tuple[float, ...]
    """(m,): each engine's mean quality on the training prompts."""

    @classmethod
    def fit(cls, said: Sequence[Matrix], quality: Matrix) -> Self:
        """Fit to what members said of prompts they had not seen."""
        from scipy.optimize import nnls

        overall, means = quality.mean(axis=0), [each.mean(axis=0) for each in said]
        wanted = _parts(quality - overall)
        given = [_parts(each - mean) for each, mean in zip(said, means, strict=True)]
        level, contrast = (
            nnls(np.stack([part[which].ravel() for part in given], axis=1), wanted[which].ravel())[0]
            for which in (0, 1)
        )
        return cls(
            level=tuple(map(float, level)),
            contrast=tuple(map(float, contrast)),
            means=tuple(tuple(map(float, mean)) for mean in means),
            overall=tuple(map(float, overall)),
        )

    def blend(self, said: Sequence[Matrix]) -> npt.NDArray[np.float64]:
        """Return (n, m) probabilities."""
        total = np.array(self.overall)[None, :]
        for each, mean, level, contrast in zip(said, self.means, self.level, self.contrast, strict=True):
            common, own = _parts(each - np.array(mean))
            total = total + level * common + contrast * own
        return np.asarray(np.clip(total, 0.0, 1.0), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """A fitted router's estimator."""

    engines: tuple[str, ...]
    """Names of the engines, ``m``."""
    reader: Reader
    """How prompts become features."""
    names: tuple[str, ...]
    """Kinds of the members."""
    members: tuple[Member, ...]
    """Who estimates."""
    weights: Weights
    """How far each is believed."""
    costs: CostLines
    """What answers cost."""
    prompts: int
    """How many it was fitted on."""
    left_out: Estimates | None = None
    """What it says of each training prompt when that one is left out; not saved. Settings may be looked at on these,
    and are certified on prompts that nothing was fitted on."""

    def estimate(self, prompts: Sequence[str], tags: Tags | None = None) -> Estimates:
        """Estimate every engine on every prompt; ``tags`` are not read.

        Raises:
            SetupError: the embedding model is not stored on this machine.
        """
        del tags
        if not prompts:
            return Estimates(np.empty((0, len(self.engines))), np.empty((0, len(self.engines))))
        return self.of_features(self.reader.of(prompts), prompts)

    def of_features(self, features: Features, prompts: Sequence[str]) -> Estimates:
        """Estimate from features that were read already."""
        said = [member.predict(features) for member in self.members]
        return Estimates(self.weights.blend(said), self.costs.of(prompts))

    def save(self, folder: str | Path) -> None:
        """Write head and learned parts; no prompt is in them."""
        model = None if self.reader.embedding is None else self.reader.embedding.model
        said = {
            "members": list(self.names),
            "prompts": self.prompts,
            "embedding": model,
            "template": self.reader.template.prefix,
            "weights": {name: getattr(self.weights, name) for name in ("level", "contrast", "means", "overall")},
            "costs": self.costs.as_json(),
        }
        write_head(folder, KIND, self.engines, said)
        kept: dict[str, Any] = {f"{place}": member.arrays() for place, member in enumerate(self.members)}
        kept["reader"] = {"idf": self.reader.words.idf, "mean": self.reader.mean, "scale": self.reader.scale}
        write_learned(folder, kept)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            InputError: the folder holds something else.
        """
        said, kept = read_head(folder), read_learned(folder)
        weights = {name: _tuples(values) for name, values in said["weights"].items()}
        words = kept["reader"]
        return cls(
            engines=tuple(said["engines"]),
            reader=Reader(
                template=Template(prefix=said["template"]),
                words=Words(words["idf"]),
                mean=words["mean"],
                scale=words["scale"],
                embedding=None if said["embedding"] is None else Embedding(said["embedding"]),
            ),
            names=tuple(said["members"]),
            members=tuple(KINDS[name](kept[f"{place}"]) for place, name in enumerate(said["members"])),
            weights=Weights(**weights),
            costs=CostLines.from_json(said["costs"]),
            prompts=said["prompts"],
        )


def fit(
    table: Recorded,
    *,
    members: Sequence[str] = ("linear",),
    embedding: Embedding | None = None,
    tag: str | None = None,
    seed: int = 0,
    read: tuple[Reader, Features] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Stacked:
    """Fit a stacked estimator to recorded answers; prompts of which a quality is unknown are left out.

    Args:
        table: the training answers.
        members: kinds out of linear, topic, neighbours, boosted, perceptron.
        embedding: who makes vectors; None goes by words and style alone.
        tag: the category that ``topic`` learns to guess.
        seed: of folds and of members that draw.
        read: a reader fitted on these prompts and what it read, where they are at hand.
        progress: told how many prompts have their vector.

    Raises:
        InputError: an unknown member; one that needs vectors or a tag, without; fewer than 20 prompts.
    """
    whole = known_rows(table)
    _check(whole, members, embedding, tag)
    if read is None or len(whole) != len(table):
        reader, features = Reader.fit(whole.prompts, embedding, progress=progress)
    else:
        reader, features = read
    labels = None if tag is None else whole.tags[tag]
    lesson = Lesson(features, whole.quality.astype(np.float32), gram_of_words(features), labels, seed)
    fitted = [FITS[name](lesson) for name in members]
    said = [left_out for _, left_out in fitted]
    weights, costs = Weights.fit(said, lesson.quality), CostLines.fit(table)
    return Stacked(
        engines=table.engines,
        reader=reader,
        names=tuple(members),
        members=tuple(member for member, _ in fitted),
        weights=weights,
        costs=costs,
        prompts=len(whole),
        left_out=Estimates(weights.blend(said), costs.of(whole.prompts)),
    )


def _check(table: Recorded, members: Sequence[str], embedding: Embedding | None, tag: str | None) -> None:
    for name in members:
        if name not in FITS:
            raise unknown("member of a router", name, FITS)
        if name in NEEDS_VECTORS and embedding is None:
            raise InputError(f"member '{name}' needs vectors; give embedding=Embedding('all-minilm-l6-v2')")
    if "topic" in members and tag not in table.tags:
        known = ", ".join(sorted(table.tags)) or "none is recorded"
        raise InputError(f"member 'topic' learns a tag, and '{tag}' is none of the record's; allowed: {known}")
    if not members:
        raise InputError(f"a router needs a member; allowed: {', '.join(sorted(FITS))}")
    if len(table) < LEAST_PROMPTS:
        raise InputError(f"{len(table)} prompts have every quality known; a router needs at least {LEAST_PROMPTS}")


def _parts(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return level and contrast, both (n, m): the mean over engines, and what differs from it."""
    level = np.broadcast_to(values.mean(axis=1, keepdims=True), values.shape)
    return level, values - level


def _tuples(values: Any) -> Any:
    return tuple(_tuples(value) if isinstance(value, list) else float(value) for value in values)
