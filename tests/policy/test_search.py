"""Successive halving, on made-up facts; and the policy file."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError, SetupError
from cput.ledger.facts import Fact
from cput.policy import Policy, load_policy, save_policy
from cput.policy.grid import QUICK, Choices, baseline, grid, reference
from cput.policy.search import Contestant, choose, drop_below_floor, halve, ranked, upper_bound
from cput.records import Verdict
from cput.workloads import Item

ITEMS = tuple(Item(id=f"q{i}", prompt="x") for i in range(64))


def facts(cost, useful, items):
    return tuple(
        Fact(
            id=item.id,
            item=item.id,
            cost=cost,
            output_tokens=100,
            useful_tokens=100 if number in useful else 0,
            verdict=Verdict.USEFUL if number in useful else Verdict.USELESS,
        )
        for number, item in enumerate(items)
    )


def policy(concurrency, **more):
    return Policy(model="m", concurrency=concurrency, **more)


async def race(costs, rates, floor=None, first_rung=16):
    asked = []

    async def run_policy(one, items):
        asked.append((one.concurrency, len(items)))
        useful = {n for n in range(len(items)) if n % 10 < rates[one.concurrency] * 10}
        return None, facts(costs[one.concurrency], useful, items)

    policies = [policy(c) for c in costs]
    found = await halve(policies, ITEMS, run_policy, first_rung=first_rung, floor=floor, told=lambda _: None)
    return found, asked


async def test_the_better_half_goes_on_with_twice_the_items():
    found, asked = await race({c: float(c) for c in range(1, 9)}, dict.fromkeys(range(1, 9), 0.5))
    assert [sum(size == s for _, size in asked) for s in (16, 32, 64)] == [8, 4, 2]
    assert [one.policy.concurrency for one in ranked([o for o in found if o.dropped is None])] == [1, 2]


async def test_a_cheap_policy_below_the_floor_is_dropped_with_its_figures():
    found, _ = await race({1: 1.0, 2: 0.01}, {1: 0.9, 2: 0.1}, floor=0.8)
    cheap = next(one for one in found if one.policy.concurrency == 2)
    assert "below the floor of 80.0%" in cheap.dropped


def test_a_policy_is_only_dropped_when_the_floor_is_out_of_reach():
    one = Contestant(policy=policy(1), useful=4, judged=16)
    drop_below_floor([one], 0.3)
    assert one.dropped is None


def test_the_choice_is_the_cheapest_whose_confirmation_is_likely():
    plain = Contestant(policy=policy(1))
    plain.facts, plain.useful, plain.judged = facts(1.0, range(10), ITEMS), 10, 64
    same = Contestant(policy=policy(2))
    same.facts, same.useful, same.judged = facts(0.5, range(10), ITEMS), 10, 64
    better = Contestant(policy=policy(3, attempts=4))
    better.facts, better.useful, better.judged = facts(2.0, range(24), ITEMS), 24, 64
    assert choose([plain, same, better], plain, 32, 0.0) is better
    assert choose([plain, same, better], plain, 64, 0.2) is same


def test_an_absolute_floor_is_held_against_the_useful_rate_and_not_against_the_baseline():
    cheap = Contestant(policy=policy(1))
    cheap.facts, cheap.useful, cheap.judged = facts(0.1, range(40), ITEMS), 40, 64
    good = Contestant(policy=policy(2))
    good.facts, good.useful, good.judged = facts(1.0, range(60), ITEMS), 60, 64
    assert choose([cheap, good], good, 64, 0.0, 0.5) is cheap
    assert choose([cheap, good], good, 64, 0.0, 0.8) is good


@given(st.integers(0, 50), st.integers(1, 50))
def test_the_upper_bound_lies_above_the_share(successes, trials):
    successes = min(successes, trials)
    assert successes / trials <= upper_bound(successes, trials) <= 1


def test_attempts_and_giving_up_are_only_tried_where_a_server_can_check():
    assert {p.attempts for p in grid("m", Choices(), servable=False)} == {1}
    assert not any(p.abandon for p in grid("m", QUICK, servable=False))
    assert max(p.attempts for p in grid("m", QUICK, servable=True)) > 1
    assert baseline("m").concurrency == 1
    assert reference("m", QUICK).attempts == 1


def test_every_way_to_serve_is_tried_once_and_retries_together_only_where_there_are_two():
    policies = grid("m", Choices(), servable=True)
    assert len(set(policies)) == len(policies)
    together = {p.attempts for p in policies if p.retry_together}
    assert together == {legs for legs in Choices().attempts if legs > 2}


def test_a_shared_tail_is_tried_in_front_only_with_a_prefix_cache():
    plain, relaid = grid("m", Choices(), servable=False), grid("m", Choices(), servable=False, tail="rules")
    assert {p.shared_first for p in relaid} == {None, "rules"}
    assert all(p.prefix_cache for p in relaid if p.shared_first)
    assert len(relaid) == len(plain) * 3 // 2


@given(
    precision=st.sampled_from(["f16", "int8"]),
    concurrency=st.integers(1, 512),
    attempts=st.integers(1, 9),
    model=st.text(min_size=1).filter(lambda text: "\ud800" not in text),
)
def test_a_policy_file_gives_back_what_was_saved(tmp_path_factory, precision, concurrency, attempts, model):
    path = tmp_path_factory.mktemp("p") / "new" / "policy.toml"
    saved = Policy(model=model, precision=precision, concurrency=concurrency, attempts=attempts, abandon=True)
    save_policy(path, saved, {"useful_rate": 0.25, "cpu": 'odd "name"', "unknown": None})
    found = load_policy(path)
    assert found.policy == saved
    assert found.evidence == {"useful_rate": 0.25, "cpu": 'odd "name"'}


def test_a_policy_of_several_engines_is_given_back_as_it_was_saved(tmp_path):
    student = Policy(model=str(tmp_path / "intents"), engine="classifier", threshold=0.9, concurrency=8)
    middle = Policy(model="m", attempts=4, abandon=True, retry_together=True)
    last = Policy(model="gpt-4o", engine="openai", url="https://host/v1", api_key_env="KEY")
    saved = student.followed_by(middle, last, stop="check", thresholds=[0.9])
    save_policy(tmp_path / "p.toml", saved, {})
    assert load_policy(tmp_path / "p.toml").policy == saved


def test_a_router_lies_beside_its_policy_file_wherever_that_is_read_from(tmp_path, monkeypatch):
    routed = replace(policy(8), router=str(tmp_path / "p.router"), worth_per_usd=20.0, then=(policy(1, attempts=2),))
    save_policy(tmp_path / "p.toml", routed, {})
    assert str(tmp_path) not in (tmp_path / "p.toml").read_text()
    assert load_policy(tmp_path / "p.toml").policy == routed
    (tmp_path / "bad.toml").write_text('[serve]\nmodel = "m"\nrouter = "r"\n[[serve.then]]\nmodel = "n"\n')
    with pytest.raises(InputError, match="needs worth_per_usd"):
        load_policy(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"no \[serve\]"),
        ('[serve]\nmodel = "m"\nengine = "opnai"\n', "did you mean 'openai'"),
        ('[serve]\nmodel = "m"\nengine = "openai"\n', r'the openai engine of \[serve\] needs url = "..."'),
        ('[serve]\nmodel = "m"\nthreshold = nan\n', "threshold of .serve. is nan; allowed"),
        ('[serve]\nmodel = "m"\nthreshold = 1.5\n', "threshold of .serve. is 1.5; allowed"),
        ('[serve]\nmodel = "m"\nconcurrency = 0\n', "concurrency of .serve. is 0; allowed: a whole number of 1"),
        ('[serve]\nmodel = "m"\nprecision = "int3"\n', "precision of .serve. is 'int3'; allowed: f16, int8, int4"),
        ('[serve]\nmodel = ""\n', "model of .serve. is ''"),
        ('[serve]\nmodel = "m"\nrouter = "r"\nworth_per_usd = 2\n', "one engine to choose from"),
        ('[serve]\nmodel = "m"\nstop = "chek"\n', "did you mean 'check'"),
        (
            '[serve]\nmodel = "m"\n[[serve.then]]\nmodel = "n"\n',
            r"\[serve\] is followed by another engine and has no stop",
        ),
        ('[serve]\nmodel = "m"\nstop = "confidence"\n[[serve.then]]\nmodel = "n"\n', "needs a threshold"),
        ('[serve]\nmodel = "m"\nthen = "n"\n', r"then of \[serve\] is 'n'; allowed: tables"),
        (
            '[serve]\nmodel = "m"\nstop = "check"\n[[serve.then]]\nprecision = "int8"\n',
            r"\[\[serve.then\]\] 1 needs model",
        ),
        ("[serve]\n", "names no model"),
        ('[serve]\nmodel = "m"\nconcurency = 3\n', "did you mean 'concurrency'"),
        ('[serve]\nmodel = "m"\nconcurrency = "3"\n', "concurrency is '3'; allowed: int"),
        ("[serve\n", "can't be read"),
    ],
)
def test_a_bad_policy_file_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        load_policy(path)
    with pytest.raises(InputError, match="no policy file"):
        load_policy(tmp_path / "none.toml")


def test_words_say_what_differs_from_plain_serving():
    plain = policy(1)
    assert plain.words == "F16, one at a time"
    assert "up to 3 attempts" in replace(plain, attempts=3).words
    assert "together" in replace(plain, attempts=3, retry_together=True).words


def test_a_policy_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SetupError, match="can't be written"):
        save_policy(tmp_path / "file" / "policy.toml", policy(1), {})
