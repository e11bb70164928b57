"""Who may ask, how often, and for how much money: API keys, rate limits, budgets with what is spent and held."""

STATEMENTS = (
    """
    CREATE TABLE api_keys (
      id TEXT NOT NULL PRIMARY KEY,
      digest TEXT NOT NULL, name TEXT NOT NULL, tenant TEXT NOT NULL, models TEXT, priority INTEGER NOT NULL,
      created_s DOUBLE PRECISION NOT NULL, expires_s DOUBLE PRECISION, revoked_s DOUBLE PRECISION)
    """,
    "CREATE UNIQUE INDEX api_keys_digest ON api_keys (digest)",
    # A revoked key's name is free again.
    "CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_s IS NULL",
    """
    CREATE TABLE rate_limits (
      subject TEXT NOT NULL PRIMARY KEY, requests_per_min BIGINT, tokens_per_min BIGINT)
    """,
    """
    CREATE TABLE budgets (
      id TEXT NOT NULL PRIMARY KEY,
      subject TEXT NOT NULL, per TEXT NOT NULL, zone TEXT NOT NULL,
      nano_usd BIGINT NOT NULL, unpriced TEXT NOT NULL, created_s DOUBLE PRECISION NOT NULL)
    """,
    "CREATE UNIQUE INDEX budgets_subject ON budgets (subject, per)",
    """
    CREATE TABLE budget_spends (
      budget_id TEXT NOT NULL, period TEXT NOT NULL,
      nano_usd BIGINT NOT NULL, calls BIGINT NOT NULL, assumed BIGINT NOT NULL, unknown BIGINT NOT NULL,
      PRIMARY KEY (budget_id, period))
    """,
    """
    CREATE TABLE budget_holds (
      id TEXT NOT NULL, budget_id TEXT NOT NULL,
      period TEXT NOT NULL, nano_usd BIGINT, worker TEXT NOT NULL, expires_s DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (id, budget_id))
    """,
    "CREATE INDEX budget_holds_budget ON budget_holds (budget_id, period)",
    "CREATE INDEX budget_holds_worker ON budget_holds (worker)",
)
