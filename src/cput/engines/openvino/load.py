"""Loads openvino-genai's pipeline in the engine process."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import openvino_genai as genai


class Loaded(NamedTuple):
    """The pipeline, and its tokenizer where one was wanted (grammars, draft model)."""

    pipeline: Any
    tokenizer: Any | None


def load(options: dict[str, Any]) -> Loaded:
    """Load the pipeline; the tokenizer (seconds) only where it is wanted."""
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = options["cache_gb"]
    scheduler.max_num_seqs = options["max_seqs"]
    scheduler.max_num_batched_tokens = options["max_batched_tokens"]
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = options["prefix_cache"]
    properties: dict[str, Any] = dict(options["properties"])
    if options["kv_precision"] is not None:
        properties["KV_CACHE_PRECISION"] = options["kv_precision"]
    if options["prompt_lookup"]:
        properties["prompt_lookup"] = True
    folder, device = options["folder"], options["device"]
    if options["draft"] is not None:
        return _speculative(options, scheduler, properties)
    if options["tokenizer"] is None:
        return Loaded(genai.ContinuousBatchingPipeline(folder, scheduler, device, properties), None)
    tokenizer = genai.Tokenizer(options["tokenizer"])
    return Loaded(genai.ContinuousBatchingPipeline(folder, tokenizer, scheduler, device, **properties), tokenizer)


def _speculative(options: dict[str, Any], scheduler: Any, properties: dict[str, Any]) -> Loaded:
    """Load a model with its draft.

    The library compares the two models' tokenizers by what they make of a text, so both must be there, and it looks for
    the draft's only in the draft's folder, as OpenVINO networks. They are made in a folder of our own: nobody's model
    folder is written to.
    """
    device = options["device"]
    with tempfile.TemporaryDirectory(prefix="cput-draft-") as made:
        for file in Path(options["draft"]).glob("openvino_model.*"):
            (Path(made) / file.name).symlink_to(file.resolve())
        vocabulary = Path(shutil.copy(Path(options["draft"]) / "tokenizer.gguf", made))
        genai.Tokenizer(str(vocabulary), enable_save_ov_model=True)
        tokenizer = genai.Tokenizer(str(Path(options["folder"]) / "tokenizer.gguf"))
        properties["draft_model"] = genai.draft_model(made, device)
        pipeline = genai.ContinuousBatchingPipeline(options["folder"], tokenizer, scheduler, device, **properties)
    return Loaded(pipeline, tokenizer)
