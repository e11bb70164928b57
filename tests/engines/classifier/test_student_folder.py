"""A student's folder is data: what was saved answers as before, and what is damaged or foreign is refused in a sentence."""

import json

import numpy as np
import pytest

from cput.engines.classifier import load_student, save
from cput.engines.classifier.folder import ARRAYS, CARD, GRAMS
from cput.errors import InputError

ASKED = ["turn on the lamp", "warm up room nine", "谁赢了比赛", ""]


@pytest.fixture
def folder(rooms, tmp_path):
    return save(rooms, tmp_path / "student")


def test_what_was_saved_answers_as_before(rooms, folder):
    again = load_student(folder)
    before, after = rooms.predict(ASKED), again.predict(ASKED)
    assert before.labels == after.labels
    assert np.array_equal(before.probabilities, after.probabilities)
    assert np.array_equal(before.confidence, after.confidence)
    assert again.card == rooms.card


def test_it_is_three_files_that_run_no_code(folder):
    assert {path.name for path in folder.iterdir()} == {CARD, GRAMS, ARRAYS}


@pytest.mark.parametrize("name", [GRAMS, ARRAYS])
def test_a_file_that_changed_or_is_gone_is_damage(folder, name):
    file = folder / name
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InputError, match=f"is damaged: {name} is not what student.json was written with; fit it again"):
        load_student(folder)
    file.unlink()
    with pytest.raises(InputError, match=f"is damaged: {name} can't be read"):
        load_student(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "cput student 9"}, 'says format "cput student 9"; allowed: "cput student 1"'),
        ({"labels": ["a"]}, "is damaged: student.json does not fit its arrays"),
        ({"labels": None}, "is damaged"),
        ({"features": {}}, "is damaged"),
        ({"features": {"words": 2, "chars": [1, 99]}}, "is damaged"),
        ({"calibrator": {"kind": "magic", "temperature": 1}}, "is damaged"),
        ({"calibrator": []}, "is damaged"),
        ({"sha256": None}, "is damaged"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(folder, change, says):
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | change))
    with pytest.raises(InputError) as error:
        load_student(folder)
    assert says in str(error.value)


def test_a_foreign_folder_is_no_student(tmp_path, rooms):
    with pytest.raises(InputError, match=r"is no student: it has no student\.json"):
        load_student(tmp_path)
    (tmp_path / CARD).write_text("[]")
    with pytest.raises(InputError, match="says format null"):
        load_student(tmp_path)
    (tmp_path / CARD).write_text("{")
    with pytest.raises(InputError, match="can't be read as JSON"):
        load_student(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no student"):
        save(rooms, tmp_path / "other")
