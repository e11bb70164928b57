"""Recordings: published and own files of what several engines answered, each read into one ``Recorded`` table.

    table = routellm_mmlu("benches/data/router/routellm_mmlu.csv.gz")
    small, large = replays(table)             # two engines that answer, score and charge as recorded
    write_jsonl(table, "answers.jsonl")       # one answer a line; ``read_jsonl`` and ``replay`` read it

Nothing is downloaded: every loader takes a file, and says by file and line what it can't read.
"""

from cput.policy.recordings.frugalgpt import Frontier, Labelled, frontiers, headlines
from cput.policy.recordings.jsonl import read_jsonl, write_jsonl
from cput.policy.recordings.routellm import routellm_gsm8k, routellm_mmlu
from cput.policy.recordings.routerbench import routerbench
from cput.policy.recordings.served import replays

__all__ = [
    "Frontier",
    "Labelled",
    "frontiers",
    "headlines",
    "read_jsonl",
    "replays",
    "routellm_gsm8k",
    "routellm_mmlu",
    "routerbench",
    "write_jsonl",
]
