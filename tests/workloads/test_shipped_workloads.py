"""The shipped sets are whole, licensed, small, and judge their own references as useful."""

from collections import Counter
from pathlib import Path

import pytest

from cput.workloads import Check, load, shipped, validate

ROOT = Path(__file__).resolve().parents[2] / "workloads"
SIZES = {"banking77": 308, "clinc150": 360, "cold": 360, "gsm8k": 200, "ifeval": 541, "sms-spam": 500}


def test_the_sets_are_shipped_in_under_two_megabytes() -> None:
    assert set(SIZES) <= set(shipped())
    assert sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) < 2_000_000


@pytest.mark.parametrize("name", SIZES)
def test_a_set_is_valid_and_states_licence_source_slo_and_floor(name: str) -> None:
    assert validate(name).ok
    workload = load(name)
    assert len(workload.items) == SIZES[name]
    assert workload.name == name
    assert workload.licence
    assert workload.source
    assert workload.slo.limits()
    assert workload.floor
    assert workload.floor.share_of_baseline == 1.0
    assert {path.name for path in (ROOT / name).iterdir()} >= {"LICENSE", "SOURCE.md", "items.jsonl", "workload.toml"}


@pytest.mark.parametrize("name", ["banking77", "clinc150", "cold", "gsm8k", "sms-spam"])
def test_a_reference_is_its_own_useful_answer_and_another_is_not(name: str) -> None:
    workload = load(name)
    others = sorted({item.reference for item in workload.items})
    for item in workload.items:
        check = workload.check_for(item)
        assert isinstance(check, Check)
        assert check.judge(item, f"{item.reference}\n").passed
        other = next(answer for answer in others if answer != item.reference)
        assert not check.judge(item, other).passed


def test_ifeval_has_the_published_counts() -> None:
    workload = load("ifeval")
    ids = Counter(part["id"] for item in workload.items for part in item.params["instructions"])
    assert len(ids) == 25
    assert ids.total() == 834  # the paper's instruction count
    assert ids["punctuation:no_comma"] == 66
    assert workload.sampling.max_new_tokens == 512
    assert workload.sampling.temperature == 0
    assert workload.system_prompt is None
    assert {item.tags["instructions"] for item in workload.items} == {"1", "2", "3"}


def test_every_banking_intent_can_be_generated() -> None:
    workload = load("banking77")
    counts = Counter(item.reference for item in workload.items)
    assert set(counts.values()) == {4}
    assert workload.sampling.grammar is not None
    assert set(counts) == set(workload.sampling.grammar.value)
    assert len(counts) == 77
    assert all(name in (workload.system_prompt or "") for name in counts)


def test_spam_stands_at_its_natural_share() -> None:
    workload = load("sms-spam")
    share = sum(item.reference == "spam" for item in workload.items) / len(workload.items)
    assert share == pytest.approx(747 / 5574, abs=0.02)
    assert len({item.prompt for item in workload.items}) == len(workload.items)


def test_every_intent_of_clinc150_can_be_generated_and_a_sixth_is_out_of_scope() -> None:
    workload = load("clinc150")
    counts = Counter(item.reference for item in workload.items)
    assert counts.pop("oos") == 60
    assert set(counts.values()) == {2}
    assert workload.sampling.grammar is not None
    assert {*counts, "oos"} == set(workload.sampling.grammar.value)
    assert {item.tags["scope"] for item in workload.items if item.reference == "oos"} == {"out"}


def test_cold_has_as_many_comments_of_each_topic_and_label() -> None:
    counts = Counter((item.tags["topic"], item.reference) for item in load("cold").items)
    assert set(counts.values()) == {60}
    assert len(counts) == 6
