"""Outcomes may say which attempt gave the answer: where legs race, their order does not."""

STATEMENTS = ("ALTER TABLE outcomes ADD COLUMN attempt INTEGER",)
