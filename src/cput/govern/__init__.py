"""Keeps what is stored accountable. ``redact`` takes personal data and secrets out of texts before they are kept."""
