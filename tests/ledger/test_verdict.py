"""Who is believed when observers disagree."""

import itertools

import pytest

from cput.ledger.verdict import verdict
from cput.records import Outcome, Source, Verdict


def says(source: Source, value: float, name="n", at=1.0, **detail) -> Outcome:
    return Outcome(call_id="c", name=name, value=value, source=source, observed_s=at, detail=detail)


def test_no_word_is_pending_and_not_useless():
    assert verdict([]) is Verdict.PENDING


@pytest.mark.parametrize(
    ("higher", "lower"),
    [
        (Source.HUMAN, Source.USER),
        (Source.HUMAN, Source.BUSINESS),
        (Source.HUMAN, Source.JUDGE),
        (Source.USER, Source.CHECK),
        (Source.USER, Source.JUDGE),
        (Source.BUSINESS, Source.CHECK),
        (Source.BUSINESS, Source.JUDGE),
    ],
)
@pytest.mark.parametrize(("value", "expected"), [(1.0, Verdict.USEFUL), (0.0, Verdict.USELESS)])
def test_a_higher_tier_overrules_a_lower_one_however_late_that_speaks(higher, lower, value, expected):
    words = [says(higher, value, at=1.0), says(lower, 1.0 - value, at=9.0)]
    for order in itertools.permutations(words):
        assert verdict(order) is expected


@pytest.mark.parametrize(("one", "other"), [(Source.USER, Source.BUSINESS), (Source.CHECK, Source.JUDGE)])
def test_within_a_tier_all_must_agree(one, other):
    assert verdict([says(one, 1.0), says(other, 0.0)]) is Verdict.USELESS
    assert verdict([says(one, 0.0), says(other, 1.0)]) is Verdict.USELESS
    assert verdict([says(one, 1.0), says(other, 1.0)]) is Verdict.USEFUL


def test_an_observer_may_revise_its_word():
    words = [says(Source.CHECK, 1.0, at=1.0), says(Source.CHECK, 0.0, at=2.0)]
    assert verdict(words) is verdict(reversed(words)) is Verdict.USELESS
    assert verdict([says(Source.CHECK, 1.0), says(Source.CHECK, 0.0)]) is Verdict.USELESS  # the later in the list
    assert verdict([says(Source.CHECK, 1.0, "a", at=9.0), says(Source.CHECK, 0.0, "b")]) is Verdict.USELESS


def test_a_retracted_word_was_never_said():
    check = says(Source.CHECK, 1.0)
    refund = says(Source.BUSINESS, 0.0, "refund", at=2.0)
    taken_back = says(Source.BUSINESS, 0.0, "refund", at=3.0, retracted=True)
    assert verdict([check, refund]) is Verdict.USELESS
    assert verdict([check, taken_back, refund]) is Verdict.USEFUL
    assert verdict([refund, taken_back]) is Verdict.PENDING


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, Verdict.USEFUL), (0.49, Verdict.USELESS), (0.1 * 5, Verdict.USEFUL)]
)
def test_a_graded_check_is_read_with_the_threshold(value, expected):
    assert verdict([says(Source.CHECK, value)], threshold=0.5) is expected
    assert verdict([says(Source.CHECK, 0.1 + 0.2)], threshold=0.3) is Verdict.USEFUL
    assert verdict([says(Source.CHECK, 0.3)], threshold=0.1 + 0.2) is Verdict.USEFUL
