"""The same prompts for everybody: a fixed sample of the IFEval workload, rendered and tokenized once."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from cput.engines.openvino.text import ChatTemplate
from cput.errors import InputError
from cput.models import load_manifest
from cput.records import Message
from cput.workloads import load


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt in the three forms that contestants take."""

    content: str
    """The user's turn; our engines and llama-server apply the template themselves."""
    text: str
    """With the model's chat template, ready for the assistant's turn."""
    ids: list[int]
    """Tokens of ``text``."""


def sample(contents: Sequence[str], count: int, seed: int) -> list[str]:
    """Return ``count`` of the contents, the same ones for the same seed; a smaller count is a beginning of a larger."""
    if count > len(contents):
        raise InputError(f"{count} prompts are needed and the workload has {len(contents)}; lower --concurrency")
    order = list(range(len(contents)))
    random.Random(seed).shuffle(order)
    return [contents[index] for index in order[:count]]


def prompts(folder: Path, count: int, seed: int) -> list[Prompt]:
    """Return the prompts for the model in ``folder``."""
    manifest, tokenizer = load_manifest(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = {"eos_token": tokenizer.id_to_token(manifest.eos_token_ids[0]) or ""}
    template = ChatTemplate(manifest.chat_template or "", special)
    contents = [_content(item) for item in load("ifeval").items]
    made = []
    for content in sample(contents, count, seed):
        text = template.render([Message(role="user", content=content)])
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        made.append(Prompt(content=content, text=text, ids=list(ids)))
    return made


def decoder(folder: Path) -> Tokenizer:
    """Return the model's tokenizer, for contestants that answer in tokens."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def job(chosen: Sequence[Prompt], concurrency: int, new_tokens: int) -> dict[str, Any]:
    """Return a contestant's job (``engine_wire``)."""
    return {"concurrency": concurrency, "new_tokens": new_tokens, "prompts": [asdict(prompt) for prompt in chosen]}


def _content(item: Any) -> str:
    return str(item.prompt if item.prompt is not None else item.messages[-1].content)
