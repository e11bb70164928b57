"""A student as a folder: three files that are data and nothing else, so that reading one runs no code.

``student.json`` (the card and digests), ``grams.txt`` (one a line) and ``arrays.safetensors`` (numbers). The arrays
are all that is left of the fitted scikit-learn estimators, so that answering needs neither them nor skops: a fitted
``TfidfVectorizer`` of 21,000 grams takes skops 18 s to save and 9 s to load, and this 0.1 s.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cput.engines.classifier.calibrate import KINDS, Calibrator
from cput.engines.classifier.grams import Features, Vocabulary
from cput.engines.classifier.neighbours import Neighbours
from cput.engines.classifier.student import Student, StudentCard
from cput.engines.classifier.trust import Trust
from cput.errors import InputError

CARD, GRAMS, ARRAYS = "student.json", "grams.txt", "arrays.safetensors"
FORMAT = "cput student 1"


def save(student: Student, folder: str | Path) -> Path:
    """Write a student into a folder, which is made where it is not there; return the folder.

    Raises:
        InputError: the folder holds other things than a student, or can't be written.
    """
    from safetensors.numpy import save as packed

    path = Path(folder)
    if path.is_dir() and any(path.iterdir()) and not (path / CARD).is_file():
        raise InputError(f"{path} is not empty and holds no student; allowed: a new or empty folder, or a student's")
    blobs = {
        GRAMS: "\n".join(student.vocabulary.grams).encode("utf-8", "surrogatepass"),
        ARRAYS: packed({name: np.ascontiguousarray(values) for name, values in _arrays(student).items()}),
    }
    card = {
        "format": FORMAT,
        **asdict(student.card),
        "features": asdict(student.vocabulary.features),
        "calibrator": {"kind": student.calibrator.kind, "temperature": student.calibrator.temperature},
        "trust_offset": student.trust.offset,
        "taught": student.neighbours.count,
        "sha256": {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()},
    }
    text = json.dumps(card, indent=1, ensure_ascii=True, default=str)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name, blob in {**blobs, CARD: text.encode()}.items():  # the card last: it vouches for the others
            (path / name).write_bytes(blob)
    except OSError as error:
        raise InputError(f"the student can't be written to {path}: {error.strerror or error}") from error
    return path


def load_student(folder: str | Path) -> Student:
    """Read a student.

    Raises:
        InputError: the folder is none, is damaged, or comes from another form of cput.
    """
    from safetensors.numpy import load as unpacked

    path = Path(folder)
    card = _card(path)
    blobs = {name: _blob(path, name, card) for name in (GRAMS, ARRAYS)}
    try:
        return _built(card, blobs[GRAMS].decode("utf-8", "surrogatepass").split("\n"), unpacked(blobs[ARRAYS]))
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise _damaged(path, f"{CARD} does not fit its arrays ({type(error).__name__}: {error})") from error


def _arrays(student: Student) -> dict[str, npt.NDArray[Any]]:
    near, trust = student.neighbours, student.trust
    return {
        "idf": student.vocabulary.idf,
        "weights": student.weights,
        "bias": student.bias,
        "calibrator_x": student.calibrator.x,
        "calibrator_y": student.calibrator.y,
        "trust_mean": trust.mean,
        "trust_scale": trust.scale,
        "trust_slopes": trust.slopes,
        "near_starts": near.starts,
        "near_examples": near.examples,
        "near_weights": near.weights,
    }


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path} is no student: it has no {CARD}; make one with `cput student fit`") from error
    except (OSError, ValueError) as error:
        raise _damaged(path, f"{CARD} can't be read as JSON") from error
    found = card.get("format") if isinstance(card, dict) else None
    if found != FORMAT:
        raise InputError(f"{path / CARD} says format {json.dumps(found)[:40]}; allowed: {json.dumps(FORMAT)}")
    return dict(card)


def _blob(path: Path, name: str, card: Mapping[str, Any]) -> bytes:
    try:
        blob = (path / name).read_bytes()
    except OSError as error:
        raise _damaged(path, f"{name} can't be read") from error
    sums = card.get("sha256")
    if not isinstance(sums, dict) or hashlib.sha256(blob).hexdigest() != sums.get(name):
        raise _damaged(path, f"{name} is not what {CARD} was written with")
    return blob


def _built(card: Mapping[str, Any], grams: list[str], arrays: Mapping[str, npt.NDArray[Any]]) -> Student:
    features = Features(**{**card["features"], "chars": tuple(card["features"]["chars"])})
    known = {each.name for each in fields(StudentCard)}
    facts = {name: value for name, value in card.items() if name in known}
    labels = tuple(map(str, facts.pop("labels")))
    kind, temperature = card["calibrator"]["kind"], float(card["calibrator"]["temperature"])
    length = arrays["weights"].shape[0] - len(grams)
    shapes = {
        "idf": (len(grams),),
        "weights": (len(grams) + length, len(labels)),
        "bias": (len(labels),),
        "near_starts": (len(grams) + 1,),
        "trust_slopes": (4,),
    }
    wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
    if wrong or kind not in KINDS or (length > 0) != (features.embedder is not None) or length < 0:
        raise ValueError(f"shapes of {', '.join(wrong) or 'the calibrator'}")
    return Student(
        card=StudentCard(labels=labels, **facts),
        vocabulary=Vocabulary(features=features, grams=tuple(grams), idf=arrays["idf"]),
        weights=arrays["weights"],
        bias=arrays["bias"],
        calibrator=Calibrator(kind=kind, temperature=temperature, x=arrays["calibrator_x"], y=arrays["calibrator_y"]),
        trust=Trust(
            mean=arrays["trust_mean"],
            scale=arrays["trust_scale"],
            slopes=arrays["trust_slopes"],
            offset=float(card["trust_offset"]),
        ),
        neighbours=Neighbours(
            starts=arrays["near_starts"],
            examples=arrays["near_examples"],
            weights=arrays["near_weights"],
            count=int(card["taught"]),
        ),
    )


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"the student in {path} is damaged: {what}; fit it again")
