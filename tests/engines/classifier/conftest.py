"""Students of the shipped sms-spam and of small made sets, fitted once."""

import pytest

from cput.engines.classifier import fit
from cput.workloads import load

PLACES = ("the kitchen", "my bedroom", "the hall", "our garage", "the office", "the cellar", "her study", "room nine")
SAID = {
    "light_on": ("turn on the lamp in {}", "please switch the lights on in {}", "make {} bright"),
    "heat_up": ("it is too cold in {}, warm it up", "raise the temperature in {}", "more heating for {} please"),
    "play_music": ("play some jazz in {}", "start the radio in {}", "put on a song in {}"),
    "oos": ("who won the match last night", "what is the capital of Peru", "how do I file my taxes", "buy me a stock"),
}
ROOMS = [(said.format(place), label) for label, all_said in SAID.items() for said in all_said for place in PLACES]
"""Commands of a house, and questions that are none of its business."""


@pytest.fixture(scope="session")
def rooms():
    texts, labels = zip(*ROOMS, strict=True)
    tokens = {"light_on": 3, "heat_up": 4, "play_music": 5}
    tags = {"length": ["short" if len(text) < 28 else "long" for text in texts]}
    return fit(texts, labels, outside="oos", label_tokens=tokens, tags=tags, source="made", licence="CC0-1.0")


@pytest.fixture(scope="session")
def spam():
    items = load("sms-spam").items
    half = len(items) // 2
    taught, asked = items[:half], items[half:]
    student = fit([item.prompt for item in taught], [item.reference for item in taught])
    return student, [item.prompt for item in asked], [item.reference for item in asked]
