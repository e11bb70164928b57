"""Attempts say who bills them, at which tier, in which finer classes, and how likely they were; calls name their policy
and the episode that they are part of.
"""

STATEMENTS = (
    "ALTER TABLE calls ADD COLUMN policy TEXT",
    "ALTER TABLE calls ADD COLUMN episode TEXT",
    "CREATE INDEX calls_episode ON calls (episode) WHERE episode IS NOT NULL",
    "ALTER TABLE attempts ADD COLUMN usage_parts TEXT",
    "ALTER TABLE attempts ADD COLUMN provider TEXT",
    "ALTER TABLE attempts ADD COLUMN service_tier TEXT",
    "ALTER TABLE attempts ADD COLUMN propensity DOUBLE PRECISION",
)
