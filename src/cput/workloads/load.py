"""From a name, a folder or a file to a Workload, or to the list of everything that is wrong with it.

A folder holds ``workload.toml`` (may be absent) and one or more ``*.jsonl``, read in the order of their names. A single
``.jsonl`` takes the default head; a single ``.toml`` holds its items as ``[[items]]``. A bare shipped name (``ifeval``)
is always the shipped set: write ``./ifeval`` for a folder of that name.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cput.errors import InputError
from cput.workloads.checks.base import Thresholded
from cput.workloads.head import Head, parse_toml, read_head
from cput.workloads.items import Reader
from cput.workloads.lines import decode, read_bytes, read_objects
from cput.workloads.problems import Problems, ValidationReport, Where, kind
from cput.workloads.workload import Workload

HEAD_FILE = "workload.toml"
_FIRST = 5  # problems shown when loading fails
_HERE = Path(__file__).resolve().parent
_ROOTS = (_HERE / "sets", _HERE.parents[2] / "workloads")  # in a wheel; in a checkout


class _Found(NamedTuple):
    workload: Workload | None
    report: ValidationReport


def shipped() -> tuple[str, ...]:
    """Return the names of the workloads that come with cput."""
    return tuple(sorted({head.parent.name for root in _ROOTS for head in root.glob(f"*/{HEAD_FILE}")}))


def load(name_or_path: str | Path) -> Workload:
    """Return a workload by shipped name, or from a folder, a ``.toml`` or a ``.jsonl``.

    Raises:
        InputError: where nothing is there, or anything is wrong; it shows the first problems and their number.
    """
    workload, report = _read(_path(name_or_path))
    if workload is not None:
        return workload
    count = len(report.problems)
    lines = "".join(f"\n  {problem}" for problem in report.problems[:_FIRST])
    more = f"\n  ... and {count - _FIRST} more: `cput workload validate {report.path}`" if count > _FIRST else ""
    raise InputError(f"workload '{report.path}' has {count} problem{'s' if count != 1 else ''}:{lines}{more}")


def validate(name_or_path: str | Path) -> ValidationReport:
    """Return everything that is wrong with a workload, reading to its end.

    Raises:
        InputError: only where no file or folder of that name is there.
    """
    return _read(_path(name_or_path)).report


def _path(name_or_path: str | Path) -> Path:
    name = str(name_or_path)
    for root in _ROOTS:
        if name in shipped() and (root / name).is_dir():
            return root / name
    path = Path(name)
    try:
        there = path.exists()
    except (ValueError, OSError):  # a NUL, or a name too long for the file system
        there = False
    if not name or not there:
        near = difflib.get_close_matches(name, shipped(), n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise InputError(
            f"unknown workload '{name[:200]}'{hint} Allowed: {', '.join(shipped())}, "
            "or the path of a folder, a .toml or a .jsonl file"
        )
    return path


def _read(path: Path) -> _Found:
    problems = Problems()
    toml, folder = None, path.parent
    jsonl: tuple[Path, ...] = ()
    if path.is_dir():
        folder = path
        toml = path / HEAD_FILE if (path / HEAD_FILE).exists() else None
        jsonl = tuple(sorted(path.glob("*.jsonl")))
    elif path.suffix == ".toml":
        toml = path
    elif path.suffix == ".jsonl":
        jsonl = (path,)
    else:
        problems.add(
            Where(path.name), None, "is neither a folder nor a workload file; allowed: .toml, .jsonl, a folder"
        )
        return _Found(None, ValidationReport(str(path), tuple(problems.found), 0))
    head = _head(toml, problems)
    if path.name == HEAD_FILE and "items" not in head.top:
        jsonl = tuple(sorted(folder.glob("*.jsonl")))  # the head of a folder stands for its folder
    reader = Reader(head, problems, str(folder))
    _read_items(reader, jsonl)
    if not reader.count and not problems.found:
        files = ", ".join(file.name for file in jsonl) or path.name
        problems.add(Where(files), None, "holds no items; allowed: one JSON object per line, or [[items]] in a .toml")
    report = ValidationReport(str(path), tuple(problems.found), reader.count)
    return _Found(_workload(path, reader) if report.ok else None, report)


def _head(toml: Path | None, problems: Problems) -> Head:
    if toml is None:
        return Head(file=HEAD_FILE)
    where = Where(toml.name)
    content = read_bytes(toml, where, problems)
    size = toml.stat().st_size if content is not None else 0
    text = None if content is None else decode(content, where, size - len(content), problems)
    if text is None:
        return Head(file=toml.name)
    raw, lines = parse_toml(text.replace("\r\n", "\n"), toml.name, problems)
    return read_head(raw, toml.name, lines, problems)


def _read_items(reader: Reader, jsonl: tuple[Path, ...]) -> None:
    for number, value in enumerate(reader.head.top.get("items", [])):
        where = reader.head.where(f"items[{number}].")
        if isinstance(value, dict):
            reader.add(value, where, f"items:{number + 1}")
        else:
            reader.problems.add(where, "items", f"item {number + 1} is a {kind(value)}; allowed: a table")
    for file in jsonl:
        for where, value in read_objects(file, file.name, reader.problems):
            reader.add(value, where, f"{file.stem}:{where.line}")


def _workload(path: Path, reader: Reader) -> Workload:
    head = reader.head
    top = {key: value for key, value in head.top.items() if key in _TOP}
    checks = {name: check for name, check in reader.checks.items() if check is not None}
    if head.threshold is not None:
        checks = {name: Thresholded.around(check, head.threshold) for name, check in checks.items()}
    default = path.parent.name if path.name == HEAD_FILE else path.stem
    if path.is_dir():
        default = path.resolve().name
    return Workload(
        **{"name": default, **top},
        sampling=head.sampling,
        slo=head.slo,
        floor=head.floor,
        check=head.check,
        threshold=head.threshold,
        items=tuple(reader.items),
        digest=_digest(head.raw, reader),
        checks=checks,
    )


_TOP = ("name", "description", "licence", "source", "system_prompt", "chat")


def _digest(raw: Mapping[str, Any], reader: Reader) -> str:
    found = hashlib.sha256(_canonical({key: value for key, value in raw.items() if key != "items"}))
    for item in reader.items:
        turns = [(turn.role, turn.content) for turn in item.messages]
        parts = (item.id, item.prompt, turns, item.reference, item.check, item.params, item.choices, item.tags)
        found.update(b"\n" + _canonical(parts))
    return found.hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str).encode()
