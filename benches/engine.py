"""The embedded engine against llama.cpp and transformers: same weights, same prompts, one run.

    make bench-engine                     # everything; builds llama.cpp first (about 15 minutes, once)
    python benches/engine.py --quick      # a smoke run

Contestants run in interleaved rounds, each in a process (and, where it is not a dependency of cput, a venv) of its own,
and every run is preceded by an unmeasured one at the same concurrency.
Prints a card and, as the last line, one JSON object. Ctrl-C reports what was measured until then.
"""

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from engine_card import show
from engine_child import Child, ContestantError
from engine_figures import Sample, sample_of
from engine_llama import batched_bench
from engine_options import BARE, LLAMA, OURS, TRANSFORMERS, Options, parse
from engine_prompts import Prompt, decoder, job, prompts
from engine_report import Findings, Model, report
from engine_venvs import llama_folder, transformers_python
from engine_weights import Q8_0, fetch_source, write_gguf, write_hf_folder
from gguf import GGMLQuantizationType
from matrix_peak import measure_apart
from rich.console import Console

from cput.compress import quantize
from cput.errors import CputError
from cput.measure.environment import environment
from cput.models import ModelStore, load_manifest

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench-engine"
MODEL = "smollm2-135m-instruct"
MAX_BATCHED_TOKENS = 2048
CACHE_GB = 2
LLAMA_CONTEXT = 1024
TRANSFORMERS_PROBE = 4
WARM_TOKENS = 8
INTERRUPTED = 130


class Bench:
    """One bench run: what was asked for, and what has been found."""

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.found = Findings()
        self.llama: Path | None = None
        self.no_llama: ContestantError | None = None
        self.folders: dict[str, Path] = {}
        self.prompts: list[Prompt] = []

    def run(self) -> dict[str, Any]:
        """Prepare, measure round by round, and return the report; an interrupt keeps what was measured.

        Raises:
            KeyboardInterrupt: before anything could be measured.
        """
        BUILD.mkdir(parents=True, exist_ok=True)
        for name in self.options.without:
            self.found.not_measured[name] = "left out (--without, or --quick)"
        self.prepare()
        try:
            self.say("matrix peak")
            self.found.peaks = measure_apart(self.options.threads, quick=self.options.quick)
            for precision in self.options.precisions:
                self.race(precision)
        except KeyboardInterrupt:
            self.found.interrupted = True
        hardware = environment()
        return report(self.found, self.options, self.model(), hardware, hardware["versions"])

    def prepare(self) -> None:
        """Get the model in every precision, and the prompts."""
        store = ModelStore()
        self.folders["f16"] = store.pull(MODEL).folder
        for precision in self.options.precisions:
            self.folders[precision] = store.variant(MODEL, precision, partial(_quantize, precision))
        self.prompts = prompts(self.folders["f16"], self.options.prompts, self.options.seed)

    def race(self, precision: str) -> None:
        """Run all contestants of a precision, interleaved: A B C at each concurrency, B C A in the next round."""
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(contextlib.closing(child)) for child in self.children(precision)]
            for number in range(self.options.rounds):
                for concurrency in self.options.concurrency:
                    for child in turned(children, number):
                        self.say(f"{precision}, round {number + 1}, {concurrency} at once: {child.name}")
                        self.take(child, precision, concurrency, number)
                self.batched(precision, number)
            self.boundary(precision, {child.name: child for child in children})

    def boundary(self, precision: str, children: dict[str, Child]) -> None:
        """Run our engine and the bare library on the same few prompts in turns, now one first and now the other.

        The difference is a few percent and the machine drifts by more within a minute, so that whole runs can't show
        it.
        """
        if not {OURS, BARE} <= children.keys():
            return
        pair = [children[OURS], children[BARE]]
        for concurrency in self.options.concurrency:
            self.say(f"{precision}, {concurrency} at once: what the process boundary costs")
            for number in range(self.options.pairs(concurrency)):
                first = number * concurrency % len(self.prompts)
                chosen = self.prompts[first : first + concurrency]
                for child in turned(pair, number):
                    try:
                        answer = child.run(job(chosen, concurrency, self.options.new_tokens))
                    except ContestantError as error:
                        self.found.not_measured[f"boundary {precision} at {concurrency}"] = str(error)
                        return
                    self.found.pairs.append(self.sample(answer, child.name, precision, concurrency, number))

    def take(self, child: Child, precision: str, concurrency: int, number: int) -> None:
        """Run one contestant once, after a run that warms it up; its failure is a word on the card.

        Without the first run the second one would time llama-server's start, which is new for every number of slots,
        and every engine's first sight of a batch of that size.
        """
        chosen = self.prompts[: self.options.requests(concurrency)]
        try:
            child.run(job(chosen[:concurrency], concurrency, WARM_TOKENS))
            answer = child.run(job(chosen, concurrency, self.options.new_tokens))
        except ContestantError as error:
            self.found.not_measured[f"{child.name} {precision} at {concurrency}"] = str(error)
            return
        tokenizer = decoder(self.folders["f16"])
        for request in answer["requests"]:
            if request["text"] is None:
                request["text"] = tokenizer.decode(request["ids"], skip_special_tokens=True)
        self.found.samples.append(self.sample(answer, child.name, precision, concurrency, number))

    @staticmethod
    def sample(answer: dict[str, Any], name: str, precision: str, concurrency: int, number: int) -> Sample:
        """Return an answer as a sample."""
        return sample_of(answer, contestant=name, precision=precision, concurrency=concurrency, round_=number)

    def children(self, precision: str) -> Iterator[Child]:
        """Start the contestants of a precision; one that can't be started is a word on the card."""
        for name, start in self.starters(precision):
            if name in self.options.without:
                continue
            try:
                child = start()
            except CputError as error:
                self.found.not_measured[f"{name} {precision}"] = str(error)
                continue
            self.found.about[name] = child.about
            yield child

    def starters(self, precision: str) -> list[tuple[str, Any]]:
        """Return who takes part in a precision, and how each is started."""
        starters = [
            (
                OURS,
                lambda: self.child(OURS, [sys.executable, HERE / "engine_client.py", OURS], self.openvino(precision)),
            ),
            (BARE, lambda: self.child(BARE, [sys.executable, HERE / "engine_bare.py"], self.bare(precision))),
            (
                LLAMA,
                lambda: self.child(LLAMA, [sys.executable, HERE / "engine_client.py", LLAMA], self.server(precision)),
            ),
        ]
        if precision == "f16":
            starters.append((TRANSFORMERS, self.transformers))
        return starters

    @staticmethod
    def child(name: str, command: list[Any], setup: dict[str, Any]) -> Child:
        """Start a contestant; what it prints goes to its log."""
        return Child(name, command, setup, BUILD / f"{name}.log")

    def openvino(self, precision: str) -> dict[str, Any]:
        """Return the setup that our engine and the bare library share."""
        return {
            "folder": str(self.folders[precision]),
            "threads": self.options.threads,
            "max_seqs": max(self.options.concurrency),
            "max_batched_tokens": MAX_BATCHED_TOKENS,
            "cache_gb": CACHE_GB,
        }

    def bare(self, precision: str) -> dict[str, Any]:
        """Return the bare library's setup."""
        return self.openvino(precision) | {"eos_token_ids": list(load_manifest(self.folders["f16"]).eos_token_ids)}

    def server(self, precision: str) -> dict[str, Any]:
        """Return llama-server's setup; builds or finds the program."""
        if self.llama is None and self.no_llama is None:
            try:
                self.llama = llama_folder(self.options.llama_bin, BUILD, install=self.options.install, say=self.say)
            except ContestantError as error:
                self.no_llama = error
        if self.llama is None:  # a build that failed takes as long to fail again for the next precision
            raise self.no_llama or ContestantError("llama.cpp was not found")
        return {
            "server": str(self.llama / "llama-server"),
            "model": str(self.gguf(precision)),
            "threads": self.options.threads,
            "context": LLAMA_CONTEXT,
        }

    def gguf(self, precision: str) -> Path:
        """Return the weights as llama.cpp reads them."""
        target = BUILD / ("smollm2-f16.gguf" if precision == "f16" else "smollm2-q8_0.gguf")
        write_gguf(self.source(), target, GGMLQuantizationType.F16 if precision == "f16" else Q8_0)
        return target

    @staticmethod
    def source() -> Path:
        """Return the catalogue's own file, from which all forms are made."""
        entry = next(entry for entry in ModelStore().catalogue() if entry.name == MODEL)
        return fetch_source(entry, BUILD)

    def transformers(self) -> Child:
        """Start transformers in its venv, from a Hugging Face folder of the same weights."""
        python = transformers_python(BUILD, install=self.options.install, say=self.say)
        folder = BUILD / "hf"
        write_hf_folder(self.source(), folder)
        probe = job(self.prompts[:TRANSFORMERS_PROBE], TRANSFORMERS_PROBE, 2)["prompts"]
        setup = {"folder": str(folder), "threads": self.options.threads, "dtype": "auto", "probe": probe}
        return self.child(TRANSFORMERS, [python, HERE / "engine_transformers.py"], setup)

    def batched(self, precision: str, number: int) -> None:
        """Run llama-batched-bench: decode-only rates with prompts of our mean length."""
        if self.llama is None:
            return
        mean = sum(len(prompt.ids) for prompt in self.prompts) // len(self.prompts)
        self.say(f"{precision}, round {number + 1}: llama-batched-bench")
        try:
            rows = batched_bench(
                self.llama / "llama-batched-bench",
                self.gguf(precision),
                threads=self.options.threads,
                prompt_tokens=mean,
                new_tokens=self.options.new_tokens,
                levels=self.options.concurrency,
            )
        except ContestantError as error:
            self.found.not_measured[f"llama-batched-bench {precision}"] = str(error)
            return
        self.found.batched += [(precision, number, row) for row in rows]

    def model(self) -> Model:
        """Return the figures that operations are counted from."""
        manifests = {precision: load_manifest(folder) for precision, folder in self.folders.items()}
        first = manifests["f16"]
        return Model(
            name=first.name,
            parameters=first.parameters,
            layers=first.layers,
            heads=first.heads,
            head_dim=first.head_dim,
            sha256={precision: manifest.sha256 for precision, manifest in manifests.items()},
        )

    def say(self, text: str) -> None:
        """Show progress."""
        self.console.print(f"• {text}", highlight=False)


def _quantize(precision: str, source: Path, target: Path) -> None:
    quantize.weights(source, target, precision)


def turned(children: list[Child], number: int) -> list[Child]:
    """Return the contestants beginning with another one each round, so that nobody always runs after the same one."""
    start = number % len(children) if children else 0
    return children[start:] + children[:start]


def main() -> None:
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it ends its contestants as well
    try:
        found = Bench(parse(sys.argv[1:]), console).run()
    except CputError as error:
        console.print(f"bench: {error}", markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    show(found, console)
    print(json.dumps(found))
    sys.exit(INTERRUPTED if found["interrupted"] else 0)


if __name__ == "__main__":
    main()
