"""Every code block of ``docs/clients.md`` runs against a gateway, and does what the page says it does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import client_homes
import gateways
import pytest

from cput.ledger.store import Ledger
from cput.ledger.verdict import verdict
from cput.records import Source, Verdict
from cput.serve.door import Door

pytestmark = pytest.mark.timeout(900)  # the first run installs litellm and the npm package
PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
ASKING, OUTCOMES = PAGE.split("## Saying what became of it")
ROOT, MODEL = "http://127.0.0.1:8000", "smollm2-135m-instruct"
ELSEWHERE = {"litellm": client_homes.litellm_python, "langchain": client_homes.langchain_python}
IN_TURN = """
import contextlib, io, json, sys
told = []
for code in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "docs/clients.md", "exec"), {"__name__": "__main__"})
    told.append(out.getvalue())
print(json.dumps(told))
"""


def blocks(language, text=PAGE):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway that serves the page's model by echoing."""
    with Ledger.open(tmp_path_factory.mktemp("page") / "ledger.db") as book:
        door: Door = gateways.echo_door(book)
        door.models = {MODEL: door.models["echo"]}
        with gateways.running(door) as running:
            yield running


def at(gateway, code):
    assert ROOT in code
    return code.replace(ROOT, gateway.root)


@pytest.fixture(scope="module")
def python(gateway):
    """What each Python block printed, and the calls that they made; two are run where their packages are."""
    codes = [at(gateway, code) for code in blocks("python")]
    ours = [code for code in codes if not re.search("litellm|langchain", code)]
    command = [sys.executable, "-c", IN_TURN]
    done = subprocess.run(command, input=json.dumps(ours), check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), gateway.records()


@pytest.fixture(scope="module")
def javascript(gateway, python):
    """What each JavaScript block printed, and the calls that they made."""
    before = {record.call.id for record in gateway.records()}
    codes = [at(gateway, code) for code in blocks("javascript")]
    told = [client_homes.run_node(code, f"page_{number}") for number, code in enumerate(codes)]
    return told, tuple(record for record in gateway.records() if record.call.id not in before)


def test_every_client_has_a_snippet_of_at_most_eight_lines():
    named = ["from openai", "from anthropic", "from langchain_openai", "import litellm", 'from "openai"']
    snippets = [*blocks("python", ASKING), *blocks("javascript", ASKING)]
    assert all(any(name in snippet for snippet in snippets) for name in named)
    assert all(len([line for line in snippet.splitlines() if line]) <= 8 for snippet in snippets)


def test_the_python_snippets_ask_and_are_answered(python):
    told, _ = python
    for said in told[: len(blocks("python", ASKING)) - len(ELSEWHERE)]:
        assert "Name three rivers." in said


@pytest.mark.parametrize("package", ELSEWHERE)
def test_the_snippets_of_packages_that_live_elsewhere_ask_and_are_answered(gateway, tmp_path, package):
    (code,) = [code for code in blocks("python") if package in code]
    script = tmp_path / "snippet.py"
    script.write_text(at(gateway, code), encoding="utf-8")
    told = client_homes.run_python(ELSEWHERE[package](), script, LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert told.count("Name three rivers.") == 2


def test_the_javascript_snippet_asks_and_is_answered(javascript):
    told, _ = javascript
    assert told[0].count("Name three rivers.") == 2


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_thumbs_edits_and_events_are_outcomes_of_their_calls(language, request):
    _, records = request.getfixturevalue(language)
    words = {outcome.name: (record, outcome) for record in records for outcome in record.outcomes}
    assert set(words) == {"thumbs", "edit", "refund"}
    thumbs, edit = words["thumbs"][1], words["edit"][1]
    assert (thumbs.value, thumbs.source, verdict(words["thumbs"][0].outcomes)) == (1, Source.USER, Verdict.USEFUL)
    assert edit.value == pytest.approx(1 - 4 / 37, abs=1e-3)  # "leaves" to "left" is four letters of 37
    assert verdict(words["edit"][0].outcomes) is Verdict.USELESS
    assert verdict(words["edit"][0].outcomes, threshold=0.8) is Verdict.USEFUL


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_an_event_that_is_delivered_twice_counts_once_and_is_taken_back(language, request):
    told, records = request.getfixturevalue(language)
    assert told[-1].split() == ["1", "0", "0", "1"]
    (record,) = [record for record in records if record.call.workload == "shop"]
    assert [outcome.detail.get("retracted", False) for outcome in record.outcomes] == [False, True]
    assert verdict(record.outcomes) is Verdict.PENDING
