"""Any measurement a run could hand over, ugly names and missing figures included."""

from hypothesis import strategies as st

from cput.ledger.interval import Interval
from cput.measure.result import CallRow, Level, Measurement, Percentiles, SliceRow

figure = st.none() | st.floats(min_value=0, max_value=1e9)
name = st.text(max_size=40) | st.just("<script>alert(1)</script>") | st.just("名称 'quoted\" & more")
whole = st.integers(0, 10**7)
share = st.floats(0, 1)


@st.composite
def intervals(draw, top=1e6):
    low, value, high = sorted(draw(st.tuples(*[st.floats(0, top)] * 3)))
    return draw(
        st.sampled_from(
            [
                Interval(value, low, high),
                Interval(None, None, None),
                Interval(None, low, float("inf")),
                Interval(value, low, float("inf")),
            ]
        )
    )


percentiles = st.builds(Percentiles, figure, figure, figure, figure)
levels = st.builds(
    Level,
    label=st.sampled_from(["generated", "within SLO", "useful"]),
    calls=whole,
    output_tokens=whole,
    usd_per_m=figure,
    device_s_per_m=figure,
)
rows = st.builds(
    CallRow, item=name, verdict=st.sampled_from(["useful", "useless", "pending"]), slo_met=st.none() | st.booleans(), ttft_s=figure, tpot_s=figure,
    e2e_s=figure, output_tokens=st.none() | whole, attempts=st.integers(1, 5), error=st.none() | name,
)  # fmt: skip


def measurements():
    """Return a strategy of measurements whose fields need not agree with one another: a report must not mind."""
    return st.builds(
        Measurement, run=name, workload=name, engine=name, load=name, started_s=st.floats(0, 1e12), duration_s=st.floats(0, 1e7), calls=whole,
        failed=whole, attempts=whole, input_tokens=st.none() | whole, output_tokens=st.none() | whole, tokens_per_s=figure,
        busy_share=st.none() | share, ttft=percentiles, tpot=percentiles, itl=percentiles, e2e=percentiles,
        slo=st.dictionaries(st.sampled_from(["ttft_s", "tpot_s", "e2e_s"]), st.floats(1e-3, 1e3)), goodput_share=st.none() | share,
        goodput_calls_per_s=figure, useful_rate=intervals(1.0).filter(lambda i: i.value is None or i.high <= 1) , coverage=share, rate_usd_per_h=figure, rate_source=name,
        cost_usd=figure, cput=intervals(), cput_unit=st.sampled_from(["USD", "device-seconds"]), cost_per_useful_answer=intervals(),
        floor=st.none() | share, waterfall=st.lists(levels, max_size=3).map(tuple),
        slices=st.lists(st.builds(SliceRow, tag=name, value=name, calls=whole, useful_rate=intervals(1.0).filter(lambda i: i.value is None or i.high <= 1), cput=intervals()), max_size=4).map(tuple),
        rows=st.lists(rows, max_size=8).map(tuple), environment=st.dictionaries(name, name | whole | st.none(), max_size=3),
        notes=st.lists(name, max_size=3).map(tuple),
    )  # fmt: skip
