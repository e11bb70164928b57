"""Correctness: a fitted estimator of whether an answer is useful, from the prompt, the answer and its confidence.

    judge = Correctness.fit(prompts, answers, confidence, useful)
    Leg(engine=small, rule=Learned(judge), threshold=0.8)

Words of the prompt and of the answer (hashed, so that no vocabulary of a workload's texts is stored), plain features of
the answer, and the confidence; a logistic regression over them, calibrated on scores that each fold's model gave to
answers which it had not seen. For a closed set of short answers, a few hundred outcomes do.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from cput.errors import InputError, SetupError
from cput.policy.cascade.calibration import Calibration, Floats, Kind

LEAST = 50
"""Fewest outcomes that it is fitted on."""
FOLDS = 5
WORDS = 2**12
"""Columns for the words of the prompt, and as many for the answer's."""
TRUSTED = ("sklearn.linear_model._logistic.LogisticRegression",)
"""The only types that a saved one may hold, beside arrays."""
FORMAT = 1
_MODEL, _HEAD = "model.skops", "correctness.json"
_UNSURE = re.compile(
    r"\b(i (do not|don't|cannot|can't)|not sure|unsure|unclear|sorry|as an ai|may be|might be)\b"
    "|不知道|不确定|抱歉|无法",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correctness:
    """A fitted estimator."""

    model: Any
    """The regression (scikit-learn)."""
    calibration: Calibration
    """From the regression's probabilities to those of a useful answer."""
    outcomes: int
    """How many outcomes it was fitted on."""

    @classmethod
    def fit(
        cls,
        prompts: Sequence[str],
        answers: Sequence[str],
        confidence: Floats,
        useful: Floats,
        *,
        kind: Kind = Kind.PLATT,
        seed: int = 0,
    ) -> Self:
        """Fit on ``n`` answers; ``confidence`` (n,) is NaN where unknown, ``useful`` (n,) is 1 or 0, NaN is left out.

        Raises:
            InputError: fewer than 50 outcomes, all of one kind, or lists of different lengths.
        """
        if not len(prompts) == len(answers) == len(confidence) == len(useful):
            sizes = f"{len(prompts)}, {len(answers)}, {len(confidence)} and {len(useful)}"
            raise InputError(
                f"prompts, answers, confidence and outcomes have {sizes} entries; allowed: as many of each"
            )
        known = [int(at) for at in np.flatnonzero(~np.isnan(useful))]
        came = (np.asarray(useful)[known] >= 0.5).astype(np.int64)
        if len(known) < LEAST or min(came.sum(), len(came) - came.sum()) < FOLDS:
            raise InputError(
                f"{len(known)} outcomes are given, {came.sum()} of them useful; "
                f"allowed: {LEAST} or more, and {FOLDS} or more of each kind"
            )
        rows = _rows([prompts[at] for at in known], [answers[at] for at in known], np.asarray(confidence)[known])
        unseen = _out_of_fold(rows, came, seed)
        return cls(
            model=_regression().fit(rows, came),
            calibration=Calibration.fit(unseen, came, kind=kind),
            outcomes=len(known),
        )

    def score(self, prompts: Sequence[str], answers: Sequence[str], confidence: Floats) -> Floats:
        """Return the probability (n,) that each answer is useful; NaN confidence is unknown."""
        return self.calibration(self.model.predict_proba(_rows(prompts, answers, confidence))[:, 1])

    def save(self, folder: Path) -> None:
        """Write it into a folder.

        Raises:
            SetupError: it can't be written there.
        """
        import skops.io

        try:
            folder.mkdir(parents=True, exist_ok=True)
            skops.io.dump(self.model, folder / _MODEL)
            head = {"format": FORMAT, "outcomes": self.outcomes, "calibration": asdict(self.calibration)}
            (folder / _HEAD).write_text(json.dumps(head), encoding="utf-8")
        except OSError as error:
            raise SetupError(f"{folder} can't be written ({error.strerror}); give another folder") from error

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read one; what the folder holds runs no code.

        Raises:
            InputError: there is none, it is of another format, or it holds a type that is not trusted.
        """
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        try:
            head = json.loads((folder / _HEAD).read_text(encoding="utf-8"))
            if head["format"] != FORMAT:
                raise InputError(f"{folder} holds format {head['format']}; this cput reads {FORMAT}: fit it again")
            model = skops.io.load(folder / _MODEL, trusted=list(TRUSTED))
            calibration = Calibration.of(head["calibration"])
            return cls(model=model, calibration=calibration, outcomes=int(head["outcomes"]))
        except UntrustedTypesFoundException as error:
            raise InputError(f"{folder} holds types that no estimator of ours has: {error}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder} holds no estimator of correctness ({error}); `Correctness.save` writes one"
            ) from error


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=1000)


def _out_of_fold(rows: Any, came: Any, seed: int) -> Floats:
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found: Floats = cross_val_predict(_regression(), rows, came, cv=folds, method="predict_proba", n_jobs=1)[:, 1]
    return found


def _rows(prompts: Sequence[str], answers: Sequence[str], confidence: Floats) -> Any:
    """Return the features (n, 2 * WORDS + 10), sparse."""
    from scipy.sparse import csr_matrix, hstack

    plain = csr_matrix(np.array([_plain(*each) for each in zip(prompts, answers, confidence, strict=True)]))
    return hstack([_words("char_wb", answers), _words("word", prompts), plain]).tocsr()


def _words(analyzer: str, texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    ngrams = (2, 4) if analyzer == "char_wb" else (1, 2)
    return HashingVectorizer(analyzer=analyzer, ngram_range=ngrams, n_features=WORDS).transform(texts)


def _plain(prompt: str, answer: str, confidence: float) -> list[float]:
    """Return what can be seen of an answer without understanding it; numbers around 1."""
    unknown = bool(np.isnan(confidence))
    sure = 0.5 if unknown else float(np.clip(confidence, 1e-6, 1 - 1e-6))
    words = answer.split()
    return [
        float(unknown),
        sure,
        float(np.log(sure) - np.log1p(-sure)) / 4,
        float(np.log1p(len(answer))) / 4,
        float(np.log1p(len(prompt))) / 4,
        float(not words),
        len(set(words)) / len(words) if words else 0.0,
        float(bool(_UNSURE.search(answer))),
        float(bool(_NUMBER.search(answer))),
        float(bool(answer) and answer.rstrip()[-1:] in {".", "。", "!", "?", "！", "？", "}", "]"}),
    ]
