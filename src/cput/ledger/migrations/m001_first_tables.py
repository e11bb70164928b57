"""Calls, attempts, charges, outcomes, runs, windows."""

STATEMENTS = (
    """
    CREATE TABLE calls (
      id TEXT NOT NULL PRIMARY KEY,
      run TEXT, workload TEXT, item TEXT, tenant TEXT, external_key TEXT,
      tags TEXT, messages TEXT, prompt TEXT, sampling TEXT,
      recorded_s DOUBLE PRECISION NOT NULL)
    """,
    "CREATE INDEX calls_run ON calls (run, item) WHERE run IS NOT NULL",
    "CREATE INDEX calls_workload ON calls (workload) WHERE workload IS NOT NULL",
    "CREATE INDEX calls_external_key ON calls (external_key) WHERE external_key IS NOT NULL",
    """
    CREATE TABLE attempts (
      call_id TEXT NOT NULL, seq INTEGER NOT NULL,
      role TEXT NOT NULL, engine TEXT NOT NULL, model TEXT,
      input_uncached BIGINT, input_cache_read BIGINT, input_cache_write BIGINT, output BIGINT, reasoning BIGINT,
      engine_s DOUBLE PRECISION, usage_complete INTEGER NOT NULL, counted_by TEXT NOT NULL,
      started_s DOUBLE PRECISION NOT NULL, ttft_s DOUBLE PRECISION, e2e_s DOUBLE PRECISION,
      finish TEXT NOT NULL, error TEXT, text TEXT, gaps_s {blob},
      PRIMARY KEY (call_id, seq))
    """,
    """
    CREATE TABLE charges (
      id {serial},
      call_id TEXT, seq INTEGER, run TEXT, window_id TEXT,
      incremental_nano_usd BIGINT, avoided_nano_usd BIGINT NOT NULL,
      price_version TEXT NOT NULL, basis TEXT NOT NULL)
    """,
    # The same charge written twice is one charge. A null never equals a null, hence the COALESCE.
    """
    CREATE UNIQUE INDEX charges_attempt ON charges (call_id, COALESCE(seq, -1), basis, price_version)
    WHERE call_id IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX charges_window ON charges (window_id, basis, price_version)
    WHERE call_id IS NULL AND window_id IS NOT NULL
    """,
    "CREATE INDEX charges_run ON charges (run) WHERE call_id IS NULL",
    """
    CREATE TABLE outcomes (
      id TEXT NOT NULL PRIMARY KEY,
      call_id TEXT, external_key TEXT,
      name TEXT NOT NULL, value DOUBLE PRECISION NOT NULL, source TEXT NOT NULL,
      observed_s DOUBLE PRECISION NOT NULL, detail TEXT)
    """,
    "CREATE INDEX outcomes_call ON outcomes (call_id) WHERE call_id IS NOT NULL",
    "CREATE INDEX outcomes_external_key ON outcomes (external_key) WHERE external_key IS NOT NULL",
    """
    CREATE TABLE runs (
      id TEXT NOT NULL PRIMARY KEY,
      kind TEXT NOT NULL, workload TEXT NOT NULL, workload_digest TEXT NOT NULL, engine TEXT NOT NULL,
      config TEXT, environment TEXT, started_s DOUBLE PRECISION NOT NULL)
    """,
    """
    CREATE TABLE run_ends (
      id {serial},
      run TEXT NOT NULL REFERENCES runs (id), ended_s DOUBLE PRECISION NOT NULL)
    """,
    "CREATE INDEX run_ends_run ON run_ends (run)",
    """
    CREATE TABLE windows (
      id TEXT NOT NULL PRIMARY KEY,
      run TEXT NOT NULL REFERENCES runs (id),
      started_s DOUBLE PRECISION NOT NULL, ended_s DOUBLE PRECISION,
      rate_nano_usd_per_h BIGINT, price_version TEXT NOT NULL, device TEXT)
    """,
    "CREATE INDEX windows_run ON windows (run)",
)
