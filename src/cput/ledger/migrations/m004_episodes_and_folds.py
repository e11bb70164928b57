"""An outcome may speak for an episode; calls are folded into columns, so that questions about cost are quick."""

STATEMENTS = (
    "ALTER TABLE outcomes ADD COLUMN episode TEXT",
    "CREATE INDEX outcomes_episode ON outcomes (episode) WHERE episode IS NOT NULL",
    # Derived, and only used where a row's number says when it arrived (SQLite): see query.kept.
    "CREATE TABLE folds (number INTEGER NOT NULL PRIMARY KEY, first_arrival BIGINT NOT NULL, data {blob} NOT NULL)",
    "CREATE TABLE fold_marks (source TEXT NOT NULL PRIMARY KEY, arrival BIGINT NOT NULL, identity TEXT NOT NULL)",
)
