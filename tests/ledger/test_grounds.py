"""Why a call was answered as it was is one row, on disk when ``explain`` returns; the first word stands."""

import pytest

from cput.errors import InputError
from cput.ledger.grounds import find_call_id, read_call, read_grounds
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Finish, Grounds, Option, Usage

WHY = Grounds(
    chosen="large",
    reason="last_leg",
    options=(
        Option(engine="small", asked=True, score=0.4, threshold=0.8, cost_usd=0.001, note="below its threshold"),
        Option(engine="large", asked=True),
    ),
    policy="two legs",
    propensity=0.98,
    source_call="earlier",
)


def leg(call):
    return Attempt(call_id=call.id, seq=0, engine="e", usage=Usage(), started_s=1.0, finish=Finish.STOP)


async def test_grounds_are_read_back_as_they_were_written(ledger):
    await ledger.explain("c", WHY)
    assert read_grounds(ledger, "c") == WHY
    assert read_grounds(ledger, "d") is None


async def test_they_are_durable_when_the_word_is_given(place):
    with Ledger.open(place) as ledger:
        await ledger.explain("c", WHY)
        with Ledger.open(place) as other:
            assert read_grounds(other, "c") == WHY


async def test_the_first_word_on_a_call_stands(ledger):
    await ledger.explain("c", WHY)
    await ledger.explain("c", Grounds(chosen="other", reason="router"))
    assert read_grounds(ledger, "c") == WHY


async def test_a_score_that_is_no_number_is_unknown(ledger):
    odd = Grounds(
        chosen="a", reason="router", options=(Option(engine="a", score=float("nan"), threshold=float("inf")),)
    )
    await ledger.explain("c", odd)
    (option,) = read_grounds(ledger, "c").options
    assert (option.score, option.threshold) == (None, None)


async def test_a_call_is_found_by_the_beginning_of_its_id(ledger):
    for call_id in ("abc-1", "abc-2", "b", "bb"):
        call = Call(id=call_id)
        await ledger.record(call, [leg(call)])
    await ledger.explain("z-cached", WHY)
    assert find_call_id(ledger, "abc-2") == "abc-2"
    assert find_call_id(ledger, "b") == "b"  # a whole id, though another begins so
    assert find_call_id(ledger, "z") == "z-cached"
    assert read_call(ledger, "abc-1").attempts[0].engine == "e"
    assert read_call(ledger, "z-cached") is None
    with pytest.raises(InputError, match="several calls begin with 'abc': abc-1, abc-2; give more"):
        find_call_id(ledger, "abc")
    for nothing in ("x", "ABC", "abc%", ""):
        with pytest.raises(InputError, match=f"begins with '{nothing}'"):
            find_call_id(ledger, nothing)
