"""A repricing names itself in the charges it writes, so that going back to an earlier price version is a new row too.

Within one repricing, and among the charges written with their attempts, the same charge twice is still one charge.
"""

STATEMENTS = (
    "ALTER TABLE charges ADD COLUMN repricing TEXT",
    "DROP INDEX charges_attempt",
    "DROP INDEX charges_window",
    """
    CREATE UNIQUE INDEX charges_attempt
    ON charges (call_id, COALESCE(seq, -1), basis, price_version, COALESCE(repricing, ''))
    WHERE call_id IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX charges_window ON charges (window_id, basis, price_version, COALESCE(repricing, ''))
    WHERE call_id IS NULL AND window_id IS NOT NULL
    """,
)
