"""RouteLLM's recorded answers (arXiv 2406.18665, github.com/lm-sys/RouteLLM, Apache-2.0): Mixtral 8x7B and GPT-4.

Its MMLU file has a subject, a prompt and who was right; its GSM8K file has the answers too, where they were kept.
Neither has costs: see ``listed``. In MMLU an answer is one letter, billed as one token.
"""

from pathlib import Path

import numpy as np

from cput.policy.recorded import Recorded
from cput.policy.recordings import listed
from cput.policy.recordings.table import rows_of

WEAK, STRONG = "mixtral-8x7b-instruct", "gpt-4-1106-preview"
MMLU = ("mixtral_8x7b_correct", "gpt4_1106_correct")
GSM8K = ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview")


def routellm_mmlu(path: str | Path) -> Recorded:
    """Read the MMLU file: 14,042 prompts, two engines, the tag ``subject``.

    Raises:
        InputError: the file is not as its columns should be; names file and line.
    """
    rows = list(rows_of(path, needs=("subject", "prompt", *MMLU)))
    prompts = tuple(row.text("prompt") for row in rows)
    chars = [len(prompt) for prompt in prompts]
    letter = [1] * len(chars)
    return Recorded(
        engines=(WEAK, STRONG),
        items=tuple(f"mmlu-{place}" for place in range(len(rows))),
        prompts=prompts,
        quality=np.array([[row.right(column) for column in MMLU] for row in rows]),
        cost_usd=np.stack([each.cost_usd(chars, letter) for each in (listed.MIXTRAL, listed.GPT_4)], axis=1),
        tags={"subject": tuple(row.text("subject") for row in rows)},
        source=f"RouteLLM, MMLU responses, Apache-2.0 (MMLU: MIT); {listed.WORDS}",
    )


def routellm_gsm8k(path: str | Path) -> Recorded:
    """Read the GSM8K file: 1,319 prompts, two engines; with answers where the file has them.

    A file without answers has their lengths in ``..._chars``, so that costs stay the same.

    Raises:
        InputError: the file is not as its columns should be; names file and line.
    """
    rows = list(rows_of(path, needs=("prompt", *GSM8K)))
    prompts = tuple(row.text("prompt") for row in rows)
    texts = [f"{column}_response" for column in GSM8K]
    kept = all(column in rows[0].cells for column in texts)
    if kept:
        chars = [[len(row.cells[column]) for column in texts] for row in rows]
    else:
        lengths = [f"{column}_chars" for column in GSM8K]
        rows = list(rows_of(path, needs=lengths))
        chars = [[int(row.usd(column)) for column in lengths] for row in rows]
    asked = [len(prompt) for prompt in prompts]
    prices = (listed.MIXTRAL, listed.GPT_4)
    costs = [each.cost_usd(asked, [row[place] for row in chars]) for place, each in enumerate(prices)]
    return Recorded(
        engines=(WEAK, STRONG),
        items=tuple(f"gsm8k-{place}" for place in range(len(rows))),
        prompts=prompts,
        quality=np.array([[row.right(column) for column in GSM8K] for row in rows]),
        cost_usd=np.stack(costs, axis=1),
        answers=tuple(tuple(row.cells[column] for column in texts) for row in rows) if kept else (),
        source=f"RouteLLM, GSM8K responses, Apache-2.0 (GSM8K: MIT); {listed.WORDS}",
    )
