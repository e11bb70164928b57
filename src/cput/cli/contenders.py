"""What ``--engines`` names: the engines that a search may use, each with the ways to run it.

    smollm2-135m-instruct            a model of this machine, in all precisions and batches that the search tries
    gemma-3-270m:int8                one precision of it
    http://10.0.0.5:8000/v1#qwen     a model of an OpenAI-compatible server
    answers.jsonl                    every model of a recording; answers.jsonl#gpt-4o is one of them
    students/intents                 a student: a folder that `cput student fit` wrote

Of engines that are not of this machine there is one way each.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cput.engines.replay import recorded_models
from cput.errors import InputError, unknown
from cput.policy import Policy
from cput.policy.grid import Choices, grid, reference
from cput.policy.policy import PRECISIONS

API_KEY_ENV = "OPENAI_API_KEY"


def contenders(
    specs: Sequence[str], choices: Choices, *, servable: bool, constrainable: bool = False, tail: str = ""
) -> tuple[Policy, ...]:
    """Return all ways to run the engines named, each once; the plain way of the first one comes first.

    ``tail`` is what all prompts end with (see ``layout.shared_tail``).

    Raises:
        InputError: a name that is none of the forms above, or an engine that is named twice.
    """
    found: list[Policy] = []
    for spec in specs:
        ways = _ways(spec, choices, servable=servable, constrainable=constrainable, tail=tail)
        if twice := {way.model for way in ways} & {other.model for other in found}:
            raise InputError(f"--engines names two engines called '{twice.pop()}' (again in {spec}); name each once")
        found += ways
    return tuple(dict.fromkeys(found))


def plain(spec: str) -> Policy:
    """Return the way most people run the engine: one call at a time, no tricks.

    Raises:
        InputError: it names no engine, or several.
    """
    ways = _ways(spec, Choices(), servable=False)
    if len({way.model for way in ways}) > 1:
        models = ", ".join(way.model for way in ways)
        raise InputError(f"{spec} holds several models ({models}); name the one that serves today as {spec}#MODEL")
    first = ways[0]
    return replace(
        Policy(model=first.model),
        engine=first.engine,
        url=first.url,
        api_key_env=first.api_key_env,
        recording=first.recording,
        threshold=first.threshold,
    )


def _ways(spec: str, choices: Choices, *, servable: bool, constrainable: bool = False, tail: str = "") -> list[Policy]:
    at_once = max(choices.concurrencies)
    if spec.startswith(("http://", "https://")):
        url, hash_, model = spec.partition("#")
        if not hash_ or not model:
            raise InputError(f"--engines {spec} names no model; write {spec.rstrip('#')}#MODEL")
        return [Policy(model=model, engine="openai", url=url, api_key_env=API_KEY_ENV, concurrency=at_once)]
    file, _, wanted = spec.partition("#")
    if Path(file).suffix == ".jsonl":
        return _recorded(file, wanted, at_once)
    if (Path(spec) / "student.json").is_file():
        return [Policy(model=spec, engine="classifier", concurrency=at_once)]
    model, _, precision = spec.rpartition(":")
    if not model or precision not in PRECISIONS:
        return [
            reference(spec, choices),
            *grid(spec, choices, servable=servable, constrainable=constrainable, tail=tail),
        ]
    one = replace(choices, precisions=(precision,))
    ways = grid(model, one, servable=servable, constrainable=constrainable, tail=tail)
    return [replace(reference(model, one), precision=precision), *ways]


def _recorded(file: str, wanted: str, at_once: int) -> list[Policy]:
    models = recorded_models(file)
    if wanted and wanted not in models:
        raise unknown(f"model in {file}", wanted, models)
    if not models:
        raise InputError(f'{file} names no model; give each line its "model"')
    kept = [wanted] if wanted else models
    return [Policy(model=model, engine="replay", recording=file, concurrency=at_once) for model in kept]
