"""Why a call was answered as it was: who could have been asked, what each scored, and the reason for the choice."""

STATEMENTS = (
    """
    CREATE TABLE grounds (
      call_id TEXT NOT NULL PRIMARY KEY,
      chosen TEXT NOT NULL, reason TEXT NOT NULL, policy TEXT, propensity DOUBLE PRECISION, source_call TEXT,
      options TEXT, decided_s DOUBLE PRECISION NOT NULL)
    """,
)
