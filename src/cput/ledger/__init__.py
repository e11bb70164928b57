"""The ledger: every attempt with its usage and charge, every outcome when it arrives, and the metric read from them.

``store`` keeps the rows, ``meter`` writes them around an engine, ``price`` knows dated rates, ``cput`` is the metric.
"""
