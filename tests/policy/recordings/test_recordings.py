"""Published files become one table; what is wrong with one is said by file and line."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from cput.errors import InputError
from cput.policy.recordings import frontiers, headlines, routellm_gsm8k, routellm_mmlu, routerbench

DATA = Path(__file__).parents[3] / "benches" / "data" / "router"
MMLU = "subject,prompt,mixtral_8x7b_correct,gpt4_1106_correct\n"


def test_the_shipped_mmlu_file_has_the_published_qualities():
    """14,042 prompts of 57 subjects: Mixtral 68.1 %, GPT-4 80.6 %; only one of them right in 17.8 and 5.3 %."""
    table = routellm_mmlu(DATA / "routellm_mmlu.csv.gz")
    weak, strong = table.quality.T
    assert (len(table), len(set(table.tags["subject"]))) == (14042, 57)
    assert table.quality.mean(axis=0) == pytest.approx([0.6808, 0.8058], abs=1e-4)
    assert ((strong > weak).mean(), (strong < weak).mean()) == (
        pytest.approx(0.1778, abs=1e-4),
        pytest.approx(0.0528, abs=1e-4),
    )
    assert (table.cost_usd[:, 1] > 10 * table.cost_usd[:, 0]).all()
    assert "estimated" in table.source


def test_the_shipped_gsm8k_file_has_the_published_qualities():
    """1,319 problems: Mixtral 63.8 %, GPT-4 85.7 %; the answer's length is part of its cost."""
    table = routellm_gsm8k(DATA / "routellm_gsm8k.csv.gz")
    assert len(table) == 1319
    assert table.quality.mean(axis=0) == pytest.approx([0.638, 0.857], abs=1e-3)
    assert table.cost_usd[:, 1].mean() == pytest.approx(0.00375, rel=0.01)
    assert table.answers == ()


def test_answers_and_their_lengths_cost_the_same(tmp_path):
    """A file with the answers and one with their lengths only are one record but for the texts."""
    names = ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview")
    whole, short = tmp_path / "whole.csv", tmp_path / "short.csv"
    whole.write_text(f"prompt,{','.join(names)},{names[0]}_response,{names[1]}_response\nq,True,False,abcde,abcdefgh\n")
    short.write_text(f"prompt,{','.join(names)},{names[0]}_chars,{names[1]}_chars\nq,True,False,5,8\n")
    kept, lengths = routellm_gsm8k(whole), routellm_gsm8k(short)
    assert (kept.cost_usd == lengths.cost_usd).all()
    assert (kept.answers, lengths.answers) == ((("abcde", "abcdefgh"),), ())
    assert kept.quality.tolist() == [[1.0, 0.0]]


def test_a_routerbench_file_brings_its_own_models_and_costs(tmp_path):
    """Columns name the models; an empty score is unknown; a list of turns is read as their texts."""
    file = tmp_path / "part.csv.gz"
    with gzip.open(file, "wt") as out:
        out.write("sample_id,prompt,a|score,b|score,a|cost_usd,b|cost_usd\nq.1,\"['one', 'two']\",1.0,,0.001,0.02\n")
    table = routerbench(file)
    assert (table.engines, table.items, table.prompts) == (("a", "b"), ("q.1",), ("one\ntwo",))
    assert table.cost_usd.tolist() == [[0.001, 0.02]]
    assert np.isnan(table.quality[0, 1])


def test_frugalgpts_files_are_read():
    """HEADLINES: the cascade's frontier, ten single models, and labelled texts."""
    found = frontiers(DATA / "frugalgpt_headlines_frontier.csv")
    best = max((each for each in found if each.single), key=lambda each: each.test_quality)
    assert (best.method, best.test_quality, sum(each.single for each in found)) == ("gpt-4-turbo", 0.8558, 10)
    assert headlines(DATA / "frugalgpt_headlines_test.csv.gz")[0].label == "up"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MMLU + "law,what?,1,2\n", r"a.csv:2: 'gpt4_1106_correct' is \"2\"; allowed: 0, 1, True, False"),
        (MMLU + "law,what?,1\n", "a.csv:2: 3 cells; allowed: 4, one for each column"),
        (MMLU + 'law,"two\nlines",1,1\nlaw,,1,1\n', "a.csv:4: 'prompt' is empty; allowed: a text"),
        (MMLU, "a.csv holds no row"),
        (
            "subject,prompt\nlaw,what?\n",
            "a.csv:1: there is no column 'mixtral_8x7b_correct'; its columns are: subject, prompt",
        ),
        ("", "a.csv:1: there is no column 'subject'; its columns are: none"),
    ],
)
def test_a_fault_is_said_by_file_and_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        routellm_mmlu(tmp_path / "a.csv")


def test_files_that_are_no_csv_are_refused(tmp_path):
    """A missing file, one that only claims to be gzip, one cut off and one in another encoding."""
    cut = gzip.compress((MMLU + "law,what?,1,1\n" * 500).encode())[:-20]
    for name, content in {"a.csv.gz": b"plain", "b.csv.gz": cut, "c.csv": b"\xff\xfe,\n"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} can't be read: .*; allowed: CSV in UTF-8, plain or .gz"):
            routellm_mmlu(tmp_path / name)
    with pytest.raises(InputError, match=r"can't be read: .*No such file"):
        routellm_mmlu(tmp_path / "none.csv")


def test_routerbench_needs_a_cost_for_every_score(tmp_path):
    file = tmp_path / "r.csv"
    file.write_text("sample_id,prompt,a|score\n1,p,1\n")
    with pytest.raises(InputError, match=r"'a\|score' has no column 'a\|cost_usd' beside it"):
        routerbench(file)
    file.write_text("sample_id,prompt\n1,p\n")
    with pytest.raises(InputError, match=r"no column ends with '\|score'"):
        routerbench(file)
    file.write_text("sample_id,prompt,a|score,a|cost_usd\n1,p,1.5,0\n")
    with pytest.raises(InputError, match=r"r.csv:2: 'a\|score' is \"1.5\"; allowed: a number from 0 to 1"):
        routerbench(file)
