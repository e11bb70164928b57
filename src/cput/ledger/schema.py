"""The tables as they stand after the last migration. Money is integer nano-dollars. Append-only, but for keys,
limits and budgets.

Read and written through SQLAlchemy Core, so that one schema serves SQLite and PostgreSQL. The migrations create it;
a test holds the two equal.
"""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

migrations = Table(
    "cput_migrations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("applied_s", Double, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run", Text),
    Column("workload", Text),
    Column("item", Text),
    Column("tenant", Text),
    Column("external_key", Text),
    Column("tags", Text),  # JSON object
    Column("messages", Text),  # JSON array; null where text is not kept
    Column("prompt", Text),
    Column("sampling", Text),  # JSON object
    Column("recorded_s", Double, nullable=False),
    Column("policy", Text),
    Column("episode", Text),
    Column("embed", Text),  # JSON array of texts to embed; null where text is not kept
    Column("dimensions", Integer),
)

attempts = Table(
    "attempts",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("role", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("model", Text),
    Column("input_uncached", BigInteger),
    Column("input_cache_read", BigInteger),
    Column("input_cache_write", BigInteger),
    Column("output", BigInteger),
    Column("reasoning", BigInteger),
    Column("engine_s", Double),
    Column("usage_complete", Integer, nullable=False),
    Column("counted_by", Text, nullable=False),
    Column("started_s", Double, nullable=False),
    Column("ttft_s", Double),
    Column("e2e_s", Double),
    Column("finish", Text, nullable=False),
    Column("error", Text),
    Column("text", Text),
    Column("gaps_s", LargeBinary),  # little-endian IEEE doubles
    Column("usage_parts", Text),  # JSON object
    Column("provider", Text),
    Column("service_tier", Text),
    Column("propensity", Double),
)

charges = Table(
    "charges",
    metadata,
    Column("id", Integer, primary_key=True),  # order of arrival: the last one is in effect
    Column("call_id", Text),
    Column("seq", Integer),
    Column("run", Text),
    Column("window_id", Text),
    Column("incremental_nano_usd", BigInteger),
    Column("avoided_nano_usd", BigInteger, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("repricing", Text),  # which repricing wrote it; null for a charge written with its attempt or window
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call_id", Text),
    Column("external_key", Text),
    Column("name", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("source", Text, nullable=False),
    Column("observed_s", Double, nullable=False),
    Column("detail", Text),  # JSON object
    Column("attempt", Integer),
    Column("episode", Text),
)

grounds = Table(
    "grounds",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("chosen", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("policy", Text),
    Column("propensity", Double),
    Column("source_call", Text),
    Column("options", Text),  # JSON array of records.Option
    Column("decided_s", Double, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("workload", Text, nullable=False),
    Column("workload_digest", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("config", Text),  # JSON object
    Column("environment", Text),  # JSON object
    Column("started_s", Double, nullable=False),
)

run_ends = Table(
    "run_ends",
    metadata,
    Column("id", Integer, primary_key=True),  # a resumed run ends more than once; the last one counts
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
    Column("ended_s", Double, nullable=False),
)

windows = Table(
    "windows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
    Column("started_s", Double, nullable=False),
    Column("ended_s", Double),
    Column("rate_nano_usd_per_h", BigInteger),
    Column("price_version", Text, nullable=False),
    Column("device", Text),
)

folds = Table(  # derived: calls as columns, thousands per row; may be emptied at any time, and is rebuilt when asked
    "folds",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("first_arrival", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

fold_marks = Table(  # derived: how far the folds have come in each table
    "fold_marks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("identity", Text, nullable=False),
)

energies = Table(
    "energies",
    metadata,
    Column("window_id", Text, primary_key=True),
    Column("component", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("joules", Double),
    Column("basis", Text, nullable=False),
    Column("source", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # SHA-256 of the key in hexadecimal; the key itself is nowhere
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("models", Text),  # JSON array; null is all
    Column("priority", Integer, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("expires_s", Double),
    Column("revoked_s", Double),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("subject", Text, primary_key=True),  # key:ID or tenant:NAME
    Column("requests_per_min", BigInteger),
    Column("tokens_per_min", BigInteger),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False),  # key:ID, tenant:NAME or model:NAME
    Column("per", Text, nullable=False),  # day or month
    Column("zone", Text, nullable=False),
    Column("nano_usd", BigInteger, nullable=False),
    Column("unpriced", Text, nullable=False),  # refuse or allow
    Column("created_s", Double, nullable=False),
)

budget_spends = Table(  # running sums; changed only while the budget's row is locked
    "budget_spends",
    metadata,
    Column("budget_id", Text, primary_key=True),
    Column("period", Text, primary_key=True),  # 2026-11-25 or 2026-11
    Column("nano_usd", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("assumed", BigInteger, nullable=False),  # calls counted at what was reserved for them
    Column("unknown", BigInteger, nullable=False),  # calls that no amount is known of
)

budget_holds = Table(  # one row per call under way and budget; gone when it is settled
    "budget_holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("budget_id", Text, primary_key=True),
    Column("period", Text, nullable=False),
    Column("nano_usd", BigInteger),
    Column("worker", Text, nullable=False),
    Column("expires_s", Double, nullable=False),
)
