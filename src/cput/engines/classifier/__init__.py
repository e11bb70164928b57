"""``classifier``: a student answers what it is sure of, in well under a millisecond, and passes the rest on.

For workloads whose answers come from a closed set: intent, label, route, yes or no.
"""

from collections.abc import Mapping
from pathlib import Path

from cput.engines.classifier.engine import Classifier
from cput.engines.classifier.examples import Examples, Told, from_records
from cput.engines.classifier.fitting import fit
from cput.engines.classifier.folder import load_student, save
from cput.engines.classifier.grams import Features
from cput.engines.classifier.student import Predictions, Student, StudentCard
from cput.engines.classifier.thresholds import Candidates, candidates, grid

__all__ = [
    "Candidates",
    "Classifier",
    "Examples",
    "Features",
    "Predictions",
    "Student",
    "StudentCard",
    "Told",
    "candidates",
    "fit",
    "from_records",
    "grid",
    "load_student",
    "open_engine",
    "save",
]


def open_engine(
    model: str | Path, *, threshold: float | Mapping[str, float] | None = None, abstain: bool = True
) -> Classifier:
    """Open a student's folder; the options are those of ``Classifier``.

    Raises:
        InputError: no student is there, it is damaged, or a threshold is wrong.
    """
    path = Path(model)
    return Classifier(load_student(path), name=path.resolve().name, threshold=threshold, abstain=abstain)
