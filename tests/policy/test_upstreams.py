"""A gateway file is read whole or refused in one sentence that names the file, the key, the value and what is allowed."""

import pytest

from cput.errors import InputError
from cput.policy.upstreams import BreakerRule, HedgeRule, Route, Upstream, is_gateway, load_gateway

NEAR = '[[upstreams]]\nname = "near"\nurl = "http://10.0.0.5:8000/v1"\n'
FAR = '[[upstreams]]\nname = "far"\nurl = "https://api.openai.com/v1"\n'


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "gateway.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_whole_file_is_read(write):
    text = (
        NEAR
        + "first_token_s = 10\nattempts = 3\nbreaker = { failures = 2, open_s = 5 }\n"
        + FAR
        + 'api_key_env = "OPENAI_API_KEY"\nprovider = "openai"\nbreaker = false\n'
        + '[[upstreams]]\nname = "here"\nmodel = "smollm2-135m-instruct"\nprecision = "int8"\n'
        + "[hedge]\nquantile = 0.9\nmost = 0.1\n"
        + '[models."gpt-4o-mini"]\nupstreams = ["near", "far"]\nnames = { near = "qwen2.5-7b" }\n'
        + '[models."*"]\nupstreams = ["here"]\n'
    )
    file = load_gateway(write(text))
    assert list(file.upstreams) == ["near", "far", "here"]
    near = file.upstreams["near"]
    assert (near.first_token_s, near.attempts, near.breaker) == (10, 3, BreakerRule(failures=2, open_s=5))
    assert (file.upstreams["far"].breaker, file.upstreams["far"].api_key_env) == (None, "OPENAI_API_KEY")
    assert file.upstreams["here"] == Upstream(name="here", model="smollm2-135m-instruct", precision="int8")
    assert file.hedge == HedgeRule(quantile=0.9, most=0.1)
    assert file.route("gpt-4o-mini") == Route(upstreams=("near", "far"), names={"near": "qwen2.5-7b"})
    assert file.route("else").upstreams == ("here",)


def test_without_models_every_upstream_is_asked_for_every_model_in_order(write):
    file = load_gateway(write(NEAR + FAR))
    assert file.route("whatever") == Route(upstreams=("near", "far"))
    assert (file.hedge, file.upstreams["near"].breaker) == (None, BreakerRule())


def test_a_model_without_a_route_is_not_served(write):
    assert load_gateway(write(NEAR + '[models.m]\nupstreams = ["near"]\n')).route("n") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[upstreams\n", "can't be read"),
        ("[hedge]\n", r"names no upstream; it needs \[\[upstreams\]\]"),
        ("upstreams = []\n", "names no upstream"),
        (NEAR + "[hegde]\n", "unknown table .*'hegde'; did you mean 'hedge'"),
        (NEAR + 'api_key = "sk-1"\n', "unknown key of upstream 'near' .*'api_key'; did you mean 'api_key_env'"),
        (NEAR + 'api_key_env = "sk-proj-123"\n', "is no name of an environment variable"),
        (NEAR + "attempts = 0\n", "attempts of upstream 'near' is 0; allowed: a whole number of 1 or more"),
        (NEAR + 'first_token_s = "10"\n', "first_token_s of upstream 'near' is \"10\"; allowed: a number above 0"),
        (NEAR + "total_s = inf\n", "total_s"),
        (NEAR + "retry_share = 2\n", "retry_share .* from 0 to 1"),
        (NEAR + "breaker = 5\n", "breaker of upstream 'near' is 5; allowed: false, or a table"),
        (NEAR + "breaker = { failure = 5 }\n", "did you mean 'failures'"),
        (NEAR + "breaker = { open_s = 0 }\n", "open_s of breaker of upstream 'near' is 0"),
        (NEAR + 'precision = "int8"\n', "has precision, which means nothing for an upstream with a url"),
        (NEAR + NEAR, "two upstreams are called 'near'"),
        ('[[upstreams]]\nurl = "http://a/v1"\n', "upstream 1 has no name"),
        ('[[upstreams]]\nname = "a b"\nurl = "http://a/v1"\n', "name of upstream 'a b' is \"a b\"; allowed: 1 to 64"),
        ('[[upstreams]]\nname = "a"\n', "upstream 'a' has no url"),
        ('[[upstreams]]\nname = "a"\nurl = "ftp://a/v1"\n', "url of upstream 'a' is \"ftp://a/v1\"; allowed: http"),
        ('[[upstreams]]\nname = "a"\nurl = "http://["\n', "url of upstream 'a'"),
        ('[[upstreams]]\nname = "a"\nurl = "http://u:secret@a/v1"\n', "holds a user or a password"),
        ('[[upstreams]]\nname = "a"\nmodel = "m"\nidle_s = 1\n', "idle_s, which means nothing for a model of this"),
        (NEAR + "[hedge]\nafter_s = 1\nquantile = 0.9\n", "has both after_s and quantile"),
        (NEAR + "[hedge]\nmost = 1.5\n", r"most of \[hedge\] is 1.5"),
        ("hedge = 3\n" + NEAR, "hedge is 3; allowed: a table"),
        (NEAR + "[models]\n", "models is {}"),
        (NEAR + '[models]\nm = "near"\n', r'\[models."m"\] is "near"; allowed: a table'),
        (NEAR + '[models.m]\nupstreams = ["naer"]\n', "unknown upstream of .*'naer'; did you mean 'near'"),
        (NEAR + '[models.m]\nupstreams = ["near", "near"]\n', "asks one of near, near twice"),
        (NEAR + '[models.m]\nnames = { far = "x" }\n', "unknown upstream in names"),
        (NEAR + "[models.m]\nnames = { near = 5 }\n", "names.near of .* is 5; allowed: a model's name"),
        ('[[upstreams]]\nname = "a"\nmodel = "m"\n[models.x]\nnames = { a = "b" }\n', "has one model only"),
    ],
)
def test_a_mistake_is_one_sentence(write, text, says):
    path = write(text)
    with pytest.raises(InputError, match=says) as error:
        load_gateway(path)
    assert "gateway.toml" in str(error.value)
    assert not {"secret", "sk-1", "sk-proj"} & set(str(error.value).replace("-", " ").split())
    assert "sk-proj" not in str(error.value)


def test_which_file_it_is_shows_in_its_tables(write, tmp_path):
    assert is_gateway(write(NEAR))
    assert is_gateway(write("[hedge]\n"))
    assert not is_gateway(write('[serve]\nmodel = "m"\n'))
    assert not is_gateway(write("[[upstreams\n"))
    assert not is_gateway(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (['stop = "chek"'], "did you mean 'check'"),
        (['stop = "check"'], 'needs workload for stop = "check"'),
        (['stop = "confidence"'], 'needs threshold for stop = "confidence"'),
        (['stop = "check"', 'workload = "w"', 'router = "r"'], "both stop and router"),
        (["threshold = 0.5"], "has threshold, which nothing in it reads"),
        (['router = "r"'], "a router needs at_least or worth_per_usd"),
        (['router = "r"', "at_least = 0.5", "worth_per_usd = 3"], "at_least and worth_per_usd"),
        (["at_least = 0.5"], "no router to read it"),
        (['stop = "confidence"', "threshold = 1.5"], "threshold of"),
    ],
)
def test_what_chooses_among_upstreams_is_held_together(tmp_path, lines, says):
    path = tmp_path / "g.toml"
    upstreams = "".join(f'[[upstreams]]\nname = "{name}"\nurl = "http://127.0.0.1:1/v1"\n' for name in "ab")
    path.write_text("\n".join([upstreams, '[models."m"]', *lines, ""]))
    with pytest.raises(InputError, match=says):
        load_gateway(path)
