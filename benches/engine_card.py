"""The card that a person reads, drawn from the report (``engine_report``)."""

from collections.abc import Mapping
from typing import Any

from engine_options import CONTESTANTS, OURS
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cput.units import UNKNOWN, number, percent

Report = Mapping[str, Any]


def show(report: Report, console: Console) -> None:
    """Print the card."""
    console.print(Text(_headline(report), style="bold"))
    console.print(_hardware(report))
    if report["interrupted"]:
        console.print("Interrupted: what follows is what was measured until then.", style="bold")
    for precision in dict.fromkeys(row["precision"] for row in report["figures"]):
        console.print(_figures(report, precision))
    for table in (_boundary(report), _batched(report), _peaks(report)):
        if table.row_count:
            console.print(table)
    for name, reason in report["not_measured"].items():
        console.print(Text(f"{name}: not measured: {reason}"))
    for note in notes(report):
        console.print(Text(note))


def notes(report: Report) -> list[str]:
    """Return what a reader must know, in sentences."""
    said = [
        (
            "Median over rounds (lowest-highest). x is contestant / ours, taken within each round. "
            "tokens/s counts generated tokens over the whole run, prompts included; decode is concurrency / TPOT. "
            "KV caches, attention kernels and batch limits are each engine's own defaults."
        ),
    ]
    if not report["same_prompt_tokens"]:
        said.append("Attention: the contestants did not count the same prompt tokens, so they did unequal work.")
    dtype = report["contestants"].get("transformers", {}).get("dtype")
    if dtype:
        said.append(f"transformers ran in {dtype}, the faster of float32 and bfloat16 on this CPU.")
    if report["quick"]:
        said.append("A --quick run: it shows that everything works; its figures are not to be quoted.")
    return said


def _headline(report: Report) -> str:
    prompts, model = report["prompts"], report["model"]
    return (
        f"{model['name']}: {prompts['distinct']} IFEval prompts (seed {prompts['seed']}), {report['new_tokens']} new "
        f"tokens each, {report['rounds']} interleaved round{'s' if report['rounds'] != 1 else ''}"
    )


def _hardware(report: Report) -> Text:
    hardware = report["hardware"]
    versions = ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    return Text(f"{hardware['cpu']}, {report['threads']} threads, {', '.join(hardware['cpu_features'])}. {versions}")


def _figures(report: Report, precision: str) -> Table:
    table = Table(title=f"{precision} weights" + (" (llama.cpp: Q8_0)" if precision == "int8" else ""))
    table.add_column("at once", justify="right")
    table.add_column("contestant", no_wrap=True)
    for head in ("tokens/s", "x", "TTFT p50 ms", "x", "TPOT p50 ms", "x", "same text"):
        table.add_column(head, justify="right")
    last = None
    rows = [row for row in report["figures"] if row["precision"] == precision]
    rows.sort(key=lambda row: (row["concurrency"], list(CONTESTANTS).index(row["contestant"])))
    for row in rows:
        if last not in {None, row["concurrency"]}:
            table.add_section()
        ratios = row["ratio_to_ours"]
        ours = row["contestant"] == OURS
        table.add_row(
            "" if last == row["concurrency"] else str(row["concurrency"]),
            row["contestant"],
            _range(row["tokens_per_s"]),
            "1" if ours else _median(ratios["tokens_per_s"]),
            _range(row["ttft_s"], 1e3),
            "1" if ours else _median(ratios["ttft_s"]),
            _range(row["tpot_s"], 1e3),
            "1" if ours else _median(ratios["tpot_s"]),
            "" if ours else percent(row["agreement_with_ours"], 0),
            style="bold" if ours else None,
        )
        last = row["concurrency"]
    return table


def _boundary(report: Report) -> Table:
    table = Table(title="what our process boundary costs of openvino-genai's own tokens/s")
    for head in ("weights", "at once", "pairs", "cost", "lower quartile", "upper quartile", "target"):
        table.add_column(head, justify="right")
    for row in report["boundary"]:
        cost = row["cost_share"]
        verdict = f"at most {percent(row['target'], 0)}: {'met' if row['met'] else 'missed'}"
        shares = [percent(cost[name]) for name in ("median", "low", "high")]
        table.add_row(row["precision"], str(row["concurrency"]), str(cost["rounds"]), *shares, verdict)
    return table


def _batched(report: Report) -> Table:
    table = Table(title="llama-batched-bench, decode only")
    for head in ("weights", "at once", "decode tokens/s", "x our decode"):
        table.add_column(head, justify="right")
    for row in report["llama_batched_bench"]:
        rate, ratio = _range(row["decode_tokens_per_s"]), _median(row["ratio_to_ours"])
        table.add_row(row["precision"], str(row["concurrency"]), rate, ratio)
    return table


def _peaks(report: Report) -> Table:
    """The matrix peak, and the share of it that our decoding reaches at each concurrency."""
    ours = [row for row in report["figures"] if row["contestant"] == OURS]
    table = Table(title="matrix peak, and the share of it that our decoding reaches")
    for head in ("peak", "through", "G op/s", *(f"{row['precision']} at {row['concurrency']}" for row in ours)):
        table.add_column(head, justify="right")
    for peak in report["matrix_peak"]:
        rate = peak["ops_per_s"]
        shares = [_share(row, peak, report) for row in ours]
        table.add_row(
            peak["precision"], peak["library"], peak["reason"] or number(rate / 1e9), *(shares if rate else ())
        )
    return table


def _share(row: Report, peak: Report, report: Report) -> str:
    """Shares are of the best library of a precision and stand in its row."""
    rates = [other["ops_per_s"] or 0.0 for other in report["matrix_peak"] if other["precision"] == peak["precision"]]
    return percent(row["share_of_peak"].get(peak["precision"])) if peak["ops_per_s"] == max(rates) else ""


def _range(spread: Mapping[str, Any] | None, scale: float = 1.0) -> str:
    if spread is None:
        return UNKNOWN
    middle, low, high = (number(spread[name] * scale) for name in ("median", "low", "high"))
    return middle if spread["rounds"] == 1 else f"{middle} ({low}-{high})"


def _median(spread: Mapping[str, Any] | None) -> str:
    return UNKNOWN if spread is None else f"{spread['median']:.2f}"
