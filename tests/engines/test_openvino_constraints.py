"""The engine's grammar compiler takes what the checks of the shipped workloads demand."""

import re

import openvino_genai as genai
import pytest

from cput.engines.openvino.trial import GrammarTrial
from cput.models import load_manifest
from cput.workloads import load

CASES = (
    ["punctuation:no_comma", "startend:quotation"],
    ["detectable_format:title"],
    ["detectable_format:json_format"],
    ["detectable_format:constrained_response"],
)


@pytest.fixture(scope="module")
def trial(int8):
    return GrammarTrial(genai.Tokenizer(str(int8 / "tokenizer.gguf")), load_manifest(int8).vocab_size)


def compiles(trial, pattern):
    config = genai.GenerationConfig()
    config.structured_output_config = genai.StructuredOutputConfig(regex=pattern)
    trial.check("regex", pattern, config)


def test_a_few_expressions_compile(trial):
    check = load("ifeval").check_for(load("ifeval").items[0])
    for ids in CASES:
        item = load("ifeval").items[0]
        params = {"instructions": [{"id": name} for name in ids]}
        compiles(trial, check.grammar(type(item)(id="x", prompt="p", params=params), 192).value)


@pytest.mark.slow
def test_the_expression_of_every_shipped_item_compiles(trial):
    workload = load("ifeval")
    found = [grammar.value for item in workload.items if (grammar := workload.grammar(item, 192)) is not None]
    assert len(found) > 450
    for pattern in found:
        re.compile(pattern)
        compiles(trial, pattern)
