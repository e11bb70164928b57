"""The energy of a reserved window, component by component, measured or estimated."""

STATEMENTS = (
    """
    CREATE TABLE energies (
      window_id TEXT NOT NULL, component TEXT NOT NULL,
      run TEXT NOT NULL, joules DOUBLE PRECISION, basis TEXT NOT NULL, source TEXT NOT NULL,
      PRIMARY KEY (window_id, component))
    """,
    "CREATE INDEX energies_run ON energies (run)",
)
