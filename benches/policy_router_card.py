"""The router bench's card for people."""

from policy_router_mmlu import BEST, KNOWN
from rich.console import Console
from rich.table import Table

from cput.units import percent, usd

HEADS = (
    "who chooses",
    "known",
    "measured",
    "2.5-97.5 % of seeds",
    "minus by subject",
    "better in",
    "CPT50",
    "CPT80",
)
SINGLE = ("best_single", "cheapest_within_1_point")
UNGIVEN = "unknown (data not given)"


def show(report: dict, console: Console) -> None:
    if report.get("mmlu"):
        _mmlu(report["mmlu"], console)
    for task in ("arc_challenge", "mbpp"):
        found = report.get(task)
        if found == UNGIVEN:
            console.print(f"RouterBench {task}: {UNGIVEN}; give --data FOLDER or CPUT_ROUTER_DATA")
        elif found:
            _task(task, found, console)
    if report.get("gsm8k"):
        _gsm8k(report["gsm8k"], console)
    if report.get("frugalgpt"):
        _frugal(report["frugalgpt"], console)


def _mmlu(found: dict, console: Console) -> None:
    table = Table(title="RouteLLM MMLU: share of GPT-4 calls for 95 % of its quality, on the other half")
    for head in HEADS:
        table.add_column(head, justify="left" if head == "who chooses" else "right")
    for name, row in found["ways"].items():
        share, less = row["strong_calls_for_95"], row["minus_by_subject"]
        table.add_row(
            f"[bold]{name}[/]" if name == BEST else name,
            percent(KNOWN[name]) if name in KNOWN else "",
            percent(share and share["mean"]),
            f"{percent(share and share['low'])} to {percent(share and share['high'])}",
            "" if name == "by subject" or not less else f"{less['mean'] * 100:+.1f} ± {less['sd'] * 100:.1f} points",
            "" if name == "by subject" or not less else f"{less['below']} of {less['seeds']}",
            *(percent(row[key] and row[key]["mean"]) for key in ("cpt50", "cpt80")),
        )
    console.print(table)
    errors = " and ".join(percent(each and each["mean"]) for each in found["calibration_error"])
    console.print(f"calibration error of {BEST}: {errors} (Mixtral and GPT-4)")
    shown = found["certificate"]
    console.print(
        f"certificate: floor held in {percent(shown['held'])} of {shown['splits']} splits ({shown['fits']} fits), a "
        f"saving certified in {percent(shown['certified_a_saving'])}, {percent(shown['saved']['mean'])} saved"
    )


def _task(task: str, found: dict, console: Console) -> None:
    own = found["own"]
    sizes = f"{found['train']} to fit, {found['test']} to look"
    table = Table(title=f"RouterBench {task}: {sizes}; its own split, then 2.5-97.5 % of resplits")
    for head in ("who chooses", "AIQ", "AIQ, resplits", "minus zero router", "cost at best single's", "reached in"):
        table.add_column(head, justify="left" if head == "who chooses" else "right")
    for name, row in found["over_seeds"].items():
        if name in SINGLE:
            continue  # one point has no curve
        mine, spread, less = own["ways"][name], row["aiq"], row["aiq_minus_zero"]
        cost = mine["cost_at_best_usd"]
        table.add_row(
            "zero router (random mix)" if name == "random_mix" else name,
            f"{mine['aiq']:.4f}",
            f"{spread['mean']:.4f} ({spread['low']:.4f} to {spread['high']:.4f})",
            f"{less['mean']:+.4f} ± {less['sd']:.4f}",
            "never reached" if cost is None else f"{usd(cost * 1000)} / 1,000",
            f"{row['reached_best']} of {spread['seeds']}",
        )
    console.print(table)
    for name in ("best_single", "cheapest_within_1_point", "cheapest_not_shown_worse"):
        one = own[name]
        console.print(f"  {name}: {one['engine']}, {percent(one['quality'])}, {usd(one['cost_usd'] * 1000)} / 1,000")
    console.print(f"  the last costs 1/{own['ratio']:.1f} of the first; all three were picked on the training file")


def _gsm8k(found: dict, console: Console) -> None:
    console.print(
        f"RouteLLM GSM8K, floor 95 %: {found['stayed_with_the_strong']} of {found['seeds']} seeds stay with GPT-4 "
        f"alone; below the floor on the unseen quarter in {found['below_floor']}; "
        f"quality kept {percent(found['kept']['mean'])}, "
        f"saved {percent(found['saved']['mean'])}; a coin needs GPT-4 for {percent(found['random_needs']['mean'])}"
    )


def _frugal(rows: list[dict], console: Console) -> None:
    table = Table(title="FrugalGPT's recorded frontiers: quality on the test half and dollars for 1,000 answers")
    for head in ("task", "best single", "cheapest within 1 point", "its cascade at the best single's (train)"):
        table.add_column(head)
    for row in rows:
        table.add_row(row["task"], *(_way(row[key]) for key in ("best_single", "cheapest_within_1_point", "cascade")))
    console.print(table)


def _way(found: dict | None) -> str:
    if found is None:
        return "never reached"
    return f"{found['method']}: {percent(found['quality'])}, {usd(found['cost_usd'] * 1000)}"
