"""Measure a workload on an engine: load, latency, usefulness, cost."""
