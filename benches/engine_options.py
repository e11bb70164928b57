"""What a person may ask of the bench on its command line."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil  # type: ignore[import-untyped]  # it ships no types; nncf brings it

from cput.errors import InputError, unknown

OURS = "openvino"
BARE = "openvino-genai"
LLAMA = "llama-server"
TRANSFORMERS = "transformers"
CONTESTANTS: dict[str, tuple[str, ...]] = {
    OURS: ("f16", "int8"),
    BARE: ("f16", "int8"),
    LLAMA: ("f16", "int8"),  # int8 is Q8_0 there
    TRANSFORMERS: ("f16",),  # the float16 weights, computed in float32 or bfloat16
}
"""Who takes part, and in which precisions of the weights."""
QUICK_PROMPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A bench run as asked for."""

    quick: bool
    """A smoke run: 8 prompts, concurrency 1 and 8, one round, without transformers."""
    rounds: int
    """Rounds; in each, every contestant runs every concurrency once."""
    concurrency: tuple[int, ...]
    """Requests in flight at once."""
    new_tokens: int
    """Tokens that every answer has."""
    seed: int
    """Seed of the choice of prompts."""
    threads: int
    """Compute threads of every contestant."""
    precisions: tuple[str, ...]
    """Precisions of the weights."""
    without: tuple[str, ...]
    """Contestants that do not take part."""
    llama_bin: Path | None
    """Folder of llama-server and llama-batched-bench; None installs them."""
    install: bool
    """Whether venvs may be made under ``build/`` for contestants that are not there yet."""

    def requests(self, concurrency: int) -> int:
        """Requests of one run: two waves, and at least 8 so that a median over them means something."""
        return QUICK_PROMPTS if self.quick else max(QUICK_PROMPTS, 2 * concurrency)

    def pairs(self, concurrency: int) -> int:
        """Pairs of runs that the boundary's cost is read from: many where a run is short, an even number."""
        return 2 if self.quick else max(4, 24 // concurrency)

    @property
    def prompts(self) -> int:
        """Distinct prompts that the largest run needs."""
        return max(self.requests(level) for level in self.concurrency)


def physical_cores() -> int:
    """Physical cores that this process may use."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, usable))


def parse(arguments: Sequence[str]) -> Options:
    """Return the options of a command line.

    Raises:
        InputError: a value that is not allowed.
    """
    given = _parser().parse_args(arguments)
    quick = bool(given.quick)
    without = tuple(given.without) + ((TRANSFORMERS,) if quick else ())
    for name in without:
        if name not in CONTESTANTS:
            raise unknown("contestant", name, CONTESTANTS)
    if OURS in without:
        raise InputError(f"'{OURS}' is what the others are compared with; it cannot be left out")
    bin_given = given.llama_bin or os.environ.get("CPUT_LLAMA_BIN")
    levels = _levels(given.concurrency) if given.concurrency is not None else ((1, 8) if quick else (1, 8, 32))
    return Options(
        quick=quick,
        rounds=_at_least_1("rounds", given.rounds) if given.rounds is not None else (1 if quick else 3),
        concurrency=levels,
        new_tokens=_new_tokens(given.new_tokens),
        seed=given.seed,
        threads=_at_least_1("threads", given.threads) if given.threads is not None else physical_cores(),
        precisions=_precisions(given.precisions),
        without=tuple(dict.fromkeys(without)),
        llama_bin=Path(bin_given).expanduser() if bin_given else None,
        install=not given.no_install,
    )


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are InputErrors."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` lists what is allowed")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="benches/engine.py", description="The embedded engine against llama.cpp and transformers, in one run."
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="8 prompts, concurrency 1 and 8, one round, without transformers")
    add("--rounds", type=int, help="interleaved rounds (3)")
    add("--concurrency", metavar="N,N", help="requests in flight (1,8,32)")
    add("--new-tokens", type=int, default=64, help="tokens of every answer (64)")
    add("--seed", type=int, default=20260101, help="seed of the choice of prompts")
    add("--threads", type=int, help="compute threads of every contestant (physical cores)")
    add("--precisions", default="f16,int8", metavar="P,P", help="f16,int8")
    add("--without", action="append", default=[], metavar="NAME", help=f"leave out one of {', '.join(CONTESTANTS)}")
    add("--llama-bin", metavar="DIR", help="folder of llama-server; also CPUT_LLAMA_BIN")
    add("--no-install", action="store_true", help="use only contestants that are installed already")
    return parser


def _at_least_1(name: str, value: int) -> int:
    if value < 1:
        raise InputError(f"--{name} is {value}; allowed: 1 or more")
    return value


def _new_tokens(value: int) -> int:
    if not 2 <= value <= 1024:
        raise InputError(f"--new-tokens is {value}; allowed: 2 (TPOT needs two tokens) to 1024")
    return value


def _levels(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 256 for part in parts):
        raise InputError(f"--concurrency is '{text}'; allowed: whole numbers from 1 to 256, with commas between")
    return tuple(sorted({int(part) for part in parts}))


def _precisions(text: str) -> tuple[str, ...]:
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for part in parts:
        if part not in CONTESTANTS[OURS]:
            raise unknown("precision", part, CONTESTANTS[OURS])
    return parts
