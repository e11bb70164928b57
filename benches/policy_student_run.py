"""One seed of ``policy_student.py``: draw examples, fit, certify on one half of the test split, read off the other."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from policy_student_data import RATE_USD_PER_S, Labeller, Money, Task

from cput.engines.classifier import candidates, fit, grid
from cput.engines.classifier.calibrate import expected_calibration_error
from cput.engines.classifier.fitting import aurc
from cput.engines.classifier.student import Predictions, Student
from cput.engines.classifier.trust import SCORES
from cput.policy.guarantee import certify
from cput.workloads import Floor

SHARE = 0.99
DELTA = 0.05
LAYOUT = 2000
"""Unlabelled texts, of neither student nor test, by which thresholds are laid out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A seed, a labeller and a score: what became of them on the half that nobody had seen."""

    task: str
    labeller: str
    score: str
    slices: bool
    seed: int
    n_certify: int
    n_test: int
    threshold: float | None
    """None where nothing is certified."""
    kept: float
    """Share of calls that the student answers."""
    kept_inside: float
    """Of those in scope."""
    kept_outside: float | None
    """Of those out of scope: each is answered wrongly. None where there are none."""
    student_quality: float
    """Accuracy of the student on all, if it answered all."""
    kept_quality: float | None
    """Accuracy on what it keeps; None where that is nothing."""
    labeller_quality: float
    quality: float
    """Of student and labeller together."""
    least_share: float
    """Least of its shares of the labeller's quality, overall and on slices that were certified."""
    holds: bool
    """Whether that is at least the floor."""
    cost_ratio_hosted: float
    """Cost per useful token over the labeller's alone, the labeller at a hosted price."""
    cost_ratio_device: float | None
    """The same with the labeller at its device seconds; None where those are unknown."""
    answer_ratio_hosted: float
    """The same per useful answer."""
    needed: int | None
    by_slice: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One seed's student, and what it said."""

    found: Task
    seed: int
    said: Predictions
    """Of the test split."""
    layout: Predictions
    """Of unlabelled texts."""
    half: Any
    """(n,): which of the test split certifies."""
    one_s: float
    """Seconds of a core for one answer."""

    def confidence(self, said: Predictions, score: str) -> Any:
        outside = np.array([label == self.found.outside for label in said.labels])
        return np.where(outside, -np.inf, said.scores[score])


def run(found: Task, labellers: list[Labeller], money: Money, seed: int) -> dict[str, Any]:
    """Return the seed's rows, scores and calibration."""
    rng = np.random.default_rng(seed)
    taught, spare = _drawn(found, rng)
    own = found.train.rows(taught)
    began = time.process_time()
    student = fit(own.texts, own.labels.tolist(), seed=seed, outside=found.outside)
    fit_s = time.process_time() - began
    seen = Seen(
        found=found,
        seed=seed,
        said=student.predict(found.test.texts),
        layout=student.predict(found.train.rows(spare).texts),
        half=rng.permutation(len(found.test)) % 2 == 0,
        one_s=_one_answer_s(student, found),
    )
    rows = [
        _row(seen, labeller, money, score, sliced)
        for labeller in labellers
        for score in (SCORES if labeller.name == "ensemble" else SCORES[:1])
        for sliced in ((False, True) if found.slices and score == "trust" else (False,))
    ]
    return {"rows": rows, "scores": _scores(seen, student), "fit_s": fit_s, "one_s": seen.one_s}


def _drawn(found: Task, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return places of the student's examples, and of others."""
    taught = []
    for label in np.unique(found.train.labels):
        own = rng.permutation(np.flatnonzero(found.train.labels == label))
        taught.append(own if label == found.outside else own[: found.per_label])
    chosen = np.sort(np.concatenate(taught))
    spare = rng.permutation(np.setdiff1d(np.arange(len(found.train)), chosen))[:LAYOUT]
    return chosen, spare if len(spare) >= 50 else chosen


def _one_answer_s(student: Student, found: Task) -> float:
    texts = found.test.texts[:200]
    began = time.process_time()
    for text in texts:
        student.predict([text])
    return (time.process_time() - began) / len(texts)


def _row(seen: Seen, labeller: Labeller, money: Money, score: str, sliced: bool) -> Row:
    found, half = seen.found, seen.half
    usd = money.hosted_usd[labeller.name]
    truth = found.test.labels
    mine, theirs = np.array(seen.said.labels) == truth, labeller.answers == truth
    own_usd = seen.one_s * RATE_USD_PER_S
    laid = grid(seen.confidence(seen.layout, score))
    tried = candidates(
        seen.confidence(seen.said, score),
        mine,
        theirs,
        student_cost_usd=own_usd,
        labeller_cost_usd=usd,
        thresholds=laid,
    )
    slices = {topic: (found.test.topics == topic)[half] for topic in found.slices} if sliced else None
    proven = certify(
        tried.quality[half],
        tried.cost_usd[half],
        floor=Floor(share_of_baseline=SHARE),
        reference=theirs[half].astype(float),
        slices=slices,
        delta=DELTA,
        names=tried.names,
    )
    column = proven.choice if proven.choice is not None else 0
    test = ~half
    kept, quality = tried.kept[test, column], tried.quality[test, column]
    outside = (truth == found.outside)[test] if found.outside else np.zeros(test.sum(), bool)
    parts = {"overall": np.ones(test.sum(), bool)}
    parts |= {topic: (found.test.topics == topic)[test] for topic in found.slices}
    shares = {name: float(quality[at].mean() / max(theirs[test][at].mean(), 1e-12)) for name, at in parts.items()}
    judged = list(shares) if sliced else ["overall"]
    asked = 0.0 if np.isinf(tried.thresholds[column]) else 1.0

    def ratio(theirs_usd: Any, gained: Any) -> float:
        spent = own_usd * asked * len(kept) + np.where(kept, 0.0, theirs_usd).sum()
        alone = np.broadcast_to(theirs_usd, kept.shape).sum()
        return float(spent / (quality * gained).sum() / (alone / (theirs[test] * gained).sum()))

    hosted, tokens = usd[test], money.tokens[test]
    device = None if labeller.engine_s is None else labeller.engine_s * RATE_USD_PER_S
    threshold = float(tried.thresholds[column])
    return Row(
        task=found.name,
        labeller=labeller.name,
        score=score,
        slices=sliced,
        seed=seen.seed,
        n_certify=int(half.sum()),
        n_test=int(test.sum()),
        threshold=threshold if np.isfinite(threshold) else None,
        kept=float(kept.mean()),
        kept_inside=float(kept[~outside].mean()),
        kept_outside=float(kept[outside].mean()) if outside.any() else None,
        student_quality=float(mine[test].mean()),
        kept_quality=float(quality[kept].mean()) if kept.any() else None,
        labeller_quality=float(theirs[test].mean()),
        quality=float(quality.mean()),
        least_share=min(shares[name] for name in judged),
        holds=min(shares[name] for name in judged) >= SHARE,
        cost_ratio_hosted=ratio(hosted, tokens),
        cost_ratio_device=None if device is None else ratio(np.full(len(kept), device), tokens),
        answer_ratio_hosted=ratio(hosted, 1.0),
        needed=proven.certificate.needed,
        by_slice={
            name: {"n": int(at.sum()), "kept": float(kept[at].mean()), "share": shares[name]}
            for name, at in parts.items()
        },
    )


def _scores(seen: Seen, student: Student) -> dict[str, Any]:
    """Compare abstention scores on the whole test split, where nothing is chosen."""
    found, said = seen.found, seen.said
    truth = found.test.labels
    right = np.array(said.labels) == truth
    inside = truth != (found.outside or "")
    figures: dict[str, Any] = {}
    for score in SCORES:
        raw = said.scores[score]
        figures[score] = {"aurc": aurc(seen.confidence(said, score), right)}
        if not inside.all():
            figures[score]["auroc_outside"] = _auroc(raw[inside], raw[~inside])
    for score in SCORES[:2]:
        figures[score]["ece"] = expected_calibration_error(said.scores[score][inside], right[inside])
    figures["calibration"] = student.card.figures["calibration"]
    return figures


def _auroc(inside: Any, outside: Any) -> float:
    """Return how often a text in scope scores above one out of scope."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate((inside, outside)))[: len(inside)]
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def as_json(row: Row) -> dict[str, Any]:
    return asdict(row)
