"""A call may ask for vectors of texts, in place of messages and a prompt."""

STATEMENTS = (
    "ALTER TABLE calls ADD COLUMN embed TEXT",
    "ALTER TABLE calls ADD COLUMN dimensions INTEGER",
)
