"""Exports: ``write_focus`` (FOCUS 1.2, CSV and Parquet), ``otlp`` (OpenTelemetry GenAI spans and evaluation events),
``jsonl`` (whole records, read back by ``read_jsonl``). All stream through the ledger in bounded memory.
"""

from cput.ledger.export.jsonl import export_jsonl
from cput.ledger.export.otlp import Sent, export_otel, send_otel
from cput.ledger.export.read_jsonl import Read, import_jsonl
from cput.ledger.export.selection import Selection
from cput.ledger.export.write_focus import Written, export_focus

__all__ = [
    "Read",
    "Selection",
    "Sent",
    "Written",
    "export_focus",
    "export_jsonl",
    "export_otel",
    "import_jsonl",
    "send_otel",
]
