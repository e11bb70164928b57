"""The HTML report of one measurement."""

from markupsafe import Markup

from cput.measure.result import Measurement
from cput.report import page, sections, words
from cput.report.calls import calls
from cput.report.markup import tag
from cput.report.slices import slices
from cput.report.table import facts
from cput.report.waterfall import caption, reach, waterfall
from cput.units import UNKNOWN


def html(measurement: Measurement) -> str:
    """Return one self-contained HTML file (dark and light, no network) that shows the whole measurement."""
    m = measurement
    return page.document(
        f"cput: {m.workload}",
        tag("div", "cput measure", class_="over"),
        tag("h1", f"What a useful token of {m.workload} costs"),
        tag("p", f"{m.engine}. {m.load}. {page.when(m.started_s)}."),
        _tiles(m),
        page.notes(*m.notes),
        page.section("What a million tokens cost", _money(m)),
        page.section("Latency", sections.latency([("", m)])),
        page.section("Useful by slice", _slices(m)),
        page.section("Calls", calls(m)),
        page.section("Run", facts([("run", m.run), *sections.summary(m)])),
        page.section("Environment", sections.environment(m.environment) if m.environment else tag("p", UNKNOWN)),
        page.footer("Intervals are 95 %.", "Unknown is never 0."),
    )


def _tiles(m: Measurement) -> Markup:
    return page.tiles(
        cput_tile("CPUT", m),
        page.tile("cost per useful answer", *_split(sections.per_answer(m))),
        rate_tile("useful rate", m),
        page.tile(
            "speed",
            words.quantity(m.tokens_per_s, "tokens/s"),
            f"{words.count(m.output_tokens)} output tokens",
            f"busy {words.percent(m.busy_share)} of {words.quantity(m.duration_s, 's')}",
        ),
        page.tile("goodput", *_goodput(m)),
    )


def cput_tile(over: str, m: Measurement) -> Markup:
    """Return the CPUT with its interval, coverage and number of calls, without which it is never shown."""
    unit = words.per_million_unit(m.cput_unit)
    figure, bounds = _split(words.cost_interval(words.per_million(m.cput), m.cput_unit))
    name = "" if m.cput_unit == "USD" else " device-seconds"
    single = words.amount(m.cput.value, m.cput_unit)
    return page.tile(
        over,
        figure,
        f"{bounds} {unit.replace('tokens', 'useful tokens')}",
        f"= {single}{name} per useful token" if words.finite(m.cput.value) is not None else None,
        f"{words.count(m.calls)} calls, coverage {words.percent(m.coverage)}",
        class_="main",
    )


def rate_tile(over: str, m: Measurement) -> Markup:
    """Return the useful rate with its interval, coverage and floor."""
    figure, bounds = _split(words.rate(m.useful_rate))
    return page.tile(
        over,
        figure,
        f"{bounds} % of judged calls" if bounds else "no call is judged",
        words.floor_words(m.floor, m.useful_rate),
        f"coverage {words.percent(m.coverage)}",
    )


def _split(figures: str) -> tuple[str, str]:
    """Cut ``value [low, high] unit`` before the bracket."""
    value, bracket, rest = figures.partition(" [")
    return value, f"[{rest}" if bracket else ""


def _goodput(m: Measurement) -> tuple[str, str]:
    if not m.slo:
        return "no SLO", "the workload states no latency limits"
    share = words.percent(m.goodput_share)
    return share, f"of calls within the SLO; {words.quantity(m.goodput_calls_per_s, 'calls/s')}"


def _money(m: Measurement) -> Markup:
    money = facts(
        [
            ("cost", words.amount(m.cost_usd, "USD")),
            ("rate", sections.rate(m)),
            ("window", words.quantity(m.duration_s, "s")),
            ("failed calls", words.count(m.failed)),
            ("attempts", words.count(m.attempts)),
            ("input tokens", words.count(m.input_tokens)),
        ]
    )
    picture = tag("figure", waterfall(m, reach([m])), tag("figcaption", caption(m)))
    return page.columns(picture, money, class_="grid two")


def _slices(m: Measurement) -> Markup:
    line = "; dashed: the floor" if m.floor is not None else ""
    told = f"Stroke: useful rate; band: its 95 % interval{line}. Slices with few calls have wide bands."
    return tag("div", tag("p", told, class_="muted") if m.slices else None, slices(m))
