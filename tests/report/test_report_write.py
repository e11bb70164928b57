import json
import stat

import pytest
from made_reports import measurement, optimization

from cput.errors import SetupError
from cput.report import html, write


def test_a_report_is_written_whole_into_a_new_folder(tmp_path):
    page = html(measurement(3))
    path = write(page, tmp_path / "a" / "b" / "报告.html")
    assert path.read_text("utf-8") == page
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_older_report_and_nothing_else(tmp_path, monkeypatch):
    path = write("old", tmp_path / "report.html")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SetupError, match=r"report\.html': No space left on device"):
        write("new", path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_is_a_folder_is_one_sentence(tmp_path):
    with pytest.raises(SetupError, match="cannot be written"):
        write("page", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_search_is_plain_json_with_unbounded_as_a_word():
    plain = optimization(calls=10).as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["candidates"][8]["cput"]["high"] == "unbounded"
    assert plain["ratio"] == {"value": 0.171, "low": 0.139, "high": 0.208}
    assert plain["winner"]["workload"] == "ifeval"
