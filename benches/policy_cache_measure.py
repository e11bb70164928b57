"""Fits on one half of the templates and measures on the other, beside the cosine alone."""

import csv
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from policy_cache_pairs import LANGUAGES, Made, draw, split

from cput.policy.cache.canon import canon
from cput.policy.cache.certificate import language_of, threshold_of
from cput.policy.cache.guard import refusal
from cput.policy.cache.similarity import similarity

EMBEDDERS = ("all-minilm-l6-v2", "wordllama-256")
COSINES = (0.8, 0.9, 0.95)
NATURAL = 3000
"""Sentences of each real set that are compared with all others of it."""


class Vectors:
    """An embedding engine that remembers."""

    def __init__(self, embedder) -> None:
        self.embedder = embedder
        self._held: dict[str, np.ndarray] = {}

    async def of(self, texts: list[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self._held]
        for at in range(0, len(new), 1024):
            part = new[at : at + 1024]
            self._held |= zip(part, await self.embedder.embed(part), strict=True)
        return np.stack([self._held[text] for text in texts])


async def cosines(made: list[Made], vectors: Vectors) -> np.ndarray:
    """Return the cosine of each pair."""
    if not made:
        return np.empty(0)
    one = await vectors.of([each.pair.one for each in made])
    other = await vectors.of([each.pair.other for each in made])
    return np.einsum("ij,ij->i", one, other).astype(float)


def passes(each: Made) -> bool:
    return language_of(each.pair) == each.language and refusal(each.pair.one, each.pair.other) is None


async def scores_of(made: list[Made], vectors: Vectors) -> np.ndarray:
    """Return each pair's similarity, -inf where the guard refuses it."""
    passed = [at for at, each in enumerate(made) if passes(each)]
    scores = np.full(len(made), -np.inf)
    for at, cosine in zip(passed, await cosines([made[at] for at in passed], vectors), strict=True):
        scores[at] = similarity(cosine, made[at].pair.one, made[at].pair.other)
    return scores


async def measured(seed: int, count: int, vectors: Vectors, *, bound: float, confidence: float) -> list[dict]:
    """Return one seed's rows: ours and the cosine's, for each language."""
    train, test = split(seed)
    fitted_on, held_out = draw(train, count=count, seed=seed), draw(test, count=count // 4, seed=1000 + seed)
    train_scores, scores = await scores_of(fitted_on, vectors), await scores_of(held_out, vectors)
    alone = await cosines(held_out, vectors)
    rows = []
    for language in LANGUAGES:
        mine = np.array([each.language == language for each in fitted_on])
        same = np.array([each.pair.same for each in fitted_on])
        fitted = threshold_of(train_scores[mine], same[mine], bound=bound, confidence=confidence)
        of = [at for at, each in enumerate(held_out) if each.language == language]
        made = [held_out[at] for at in of]
        hits = scores[of] >= (np.inf if fitted.threshold is None else fitted.threshold)
        rows.append(_row(language, "ours", fitted.threshold, hits, made))
        rows += [_row(language, f"cosine {least}", least, alone[of] >= least, made) for least in COSINES]
        guarded = np.isfinite(scores[of])
        rows.append(_row(language, "guard alone", None, guarded, made))
    return rows


def _row(language: str, by: str, threshold: float | None, hits: np.ndarray, made: list[Made]) -> dict:
    same = np.array([each.pair.same for each in made])
    false = Counter(each.kind for each, hit in zip(made, hits, strict=True) if hit and not each.pair.same)
    return {
        "language": language,
        "by": by,
        "threshold": threshold,
        "same_hit_rate": float(hits[same].mean()),
        "false_of_hits": float((hits & ~same).sum() / hits.sum()) if hits.any() else None,
        "false_of_different": float(hits[~same].mean()),
        "hits": int(hits.sum()),
        "false_kinds": dict(false),
    }


def summary(embedder: str, seeds: list[list[dict]], bound: float = 0.01) -> list[dict]:
    """Return each row's mean over the seeds, and the middle 95 % of them."""
    rows = []
    for at, first in enumerate(seeds[0]):
        found = [rows_of[at] for rows_of in seeds]
        shares = [row["false_of_hits"] for row in found]
        kinds = sum((Counter(row["false_kinds"]) for row in found), Counter())
        hits = sum(row["hits"] for row in found)
        rows.append(
            {
                "embedder": embedder,
                "language": first["language"],
                "by": first["by"],
                **{
                    name: _interval([row[name] for row in found])
                    for name in ("threshold", "same_hit_rate", "false_of_hits", "false_of_different")
                },
                "hits": hits,
                "false_hits": sum(kinds.values()),
                "false_kinds": dict(kinds.most_common()),
                "seeds": len(found),
                "seeds_within_bound": sum(share is None or share <= bound for share in shares),
                "seeds_not_served": sum(row["by"] == "ours" and row["threshold"] is None for row in found),
            }
        )
    return rows


def _interval(values: list[float | None]) -> dict | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return {"mean": float(np.mean(known)), "low": float(low), "high": float(high)}


async def natural(vectors: Vectors, folder: Path | None) -> list[dict]:
    """Return, for real sentences, how many nearest neighbours of another intent would be a hit."""
    if folder is None:
        return []
    rows = []
    for name, said in (("clinc150", _clinc(Path(folder))), ("banking77", _banking(Path(folder)))):
        chosen = said[:: max(1, len(said) // NATURAL)][:NATURAL]
        texts, intents = [text for text, _ in chosen], np.array([intent for _, intent in chosen])
        rows_of = await vectors.of(texts)
        near = rows_of @ rows_of.T
        near[intents[:, None] == intents[None, :]] = -1
        nearest, cosine = near.argmax(1), near.max(1)
        guarded = sum(
            bool(canon(text)) and refusal(text, texts[other]) is None
            for at, text in enumerate(texts)
            for other in np.argsort(-near[at])[:16]
            if near[at, other] > 0
        )
        rows.append(
            {
                "set": name,
                "sentences": len(texts),
                "nearest_of_another_intent": {str(least): int((cosine >= least).sum()) for least in COSINES},
                "of_16_nearest_the_guard_passes": guarded,
                "read_alike": alike(said),
                "closest": [texts[int(cosine.argmax())], texts[int(nearest[cosine.argmax()])], float(cosine.max())],
            }
        )
    return rows


def alike(said: list[tuple[str, str]]) -> dict:
    """Return how many sentences the guard reads as the same, and how often their intents differ."""
    groups = defaultdict(set)
    for text, intent in said:
        if (read := canon(text)) is not None:
            groups[read].add((text, intent))
    several = [group for group in groups.values() if len({text for text, _ in group}) > 1]
    return {
        "sentences": len(said),
        "groups": len(several),
        "pairs": sum(len(group) * (len(group) - 1) // 2 for group in several),
        "groups_of_two_intents": sum(len({intent for _, intent in group}) > 1 for group in several),
    }


def _clinc(folder: Path) -> list[tuple[str, str]]:
    with gzip.open(folder / "clinc150_full.json.gz", "rt", encoding="utf-8") as file:
        held = json.load(file)
    return [(text, intent) for text, intent in held["train"] if intent != "oos"]


def _banking(folder: Path) -> list[tuple[str, str]]:
    with (folder / "banking77_train.csv").open(encoding="utf-8") as file:
        return [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]
