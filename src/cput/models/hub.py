"""Models of the Hugging Face hub: ``hf:organisation/name[@revision][/file.gguf]``.

Only the files that an import reads are fetched. ``$HF_ENDPOINT`` names another hub (a mirror, a company's own),
``$HF_TOKEN`` opens gated models.
"""

import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cput.errors import InputError, SetupError
from cput.models.fetch import Progress, Remote, Unreachable, fetch, read_json

PREFIX = "hf:"
_NAME = re.compile(
    r"^hf:(?P<org>[\w.-]+)/(?P<name>[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>[\w./-]+\.gguf))?$", re.ASCII
)
_TEXTS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "model.safetensors.index.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
_OPENVINO = ("openvino_model.xml", "openvino_model.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A hub name taken apart."""

    org: str
    """User or organisation."""
    name: str
    """Repository."""
    revision: str | None
    """Branch, tag or commit; None is the default branch."""
    file: str | None
    """A GGUF file in it, where one was named."""

    @property
    def stored_name(self) -> str:
        """Name in the store: the file's without its ending, else the repository's, in lower case."""
        stem = Path(self.file).stem if self.file else self.name
        return stem.lower() if self.revision is None else f"{stem.lower()}-{self.revision[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A repository's files on this machine."""

    path: Path
    """The folder, or the GGUF file."""
    words: str
    """Where it came from, with the commit."""


def parse(text: str) -> Repository:
    """Take ``hf:organisation/name[@revision][/file.gguf]`` apart; InputError where it is something else."""
    match = _NAME.fullmatch(text)
    if match is None or ".." in text:
        raise InputError(
            f"'{text}' is not a hub name; allowed: hf:organisation/name, with @revision or /file.gguf after it"
        )
    return Repository(**match.groupdict())


def fetch_repository(repository: Repository, folder: Path, progress: Progress | None = None) -> Fetched:
    """Bring the files that an import needs into ``folder``.

    Raises:
        SetupError: no network, a gated or unknown repository, a wrong digest.
        InputError: a repository without files of a known kind, or with several GGUF files and none named.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    info = _info(repository, endpoint, folder)
    commit = str(info.get("sha") or repository.revision or "main")
    folder = folder / commit[:12]  # files of two commits never mix
    files = {str(entry["rfilename"]): entry for entry in info.get("siblings", [])}
    wanted = _wanted(repository, files)
    for name in wanted:
        remote = _remote(repository, endpoint, commit, name, files[name])
        try:
            fetch(remote, _inside(folder, name), progress)
        except Unreachable as error:
            raise SetupError(f"{error}. {_by_hand(repository, folder)}") from error
    path = _inside(folder, wanted[0]) if repository.file else folder
    return Fetched(path=path, words=f"{PREFIX}{repository.org}/{repository.name}@{commit}")


def _info(repository: Repository, endpoint: str, folder: Path) -> dict[str, Any]:
    revision = f"/revision/{repository.revision}" if repository.revision else ""
    url = f"{endpoint}/api/models/{repository.org}/{repository.name}{revision}?blobs=true"
    try:
        info = read_json(url, _authorization())
    except Unreachable as error:
        status = getattr(error.__cause__, "code", None)
        if status in {401, 403, 404}:
            raise SetupError(
                f"the hub does not show '{PREFIX}{repository.org}/{repository.name}' ({status}): the name is wrong, "
                f"or it is gated; accept its terms on {endpoint}/{repository.org}/{repository.name} "
                f"and export HF_TOKEN=..."
            ) from error
        raise SetupError(
            f"the hub was asked for '{PREFIX}{repository.org}/{repository.name}' and {error}. "
            f"{_by_hand(repository, folder)}"
        ) from error
    if not isinstance(info, dict):
        raise SetupError(f"{url} answered with a {type(info).__name__} where a repository's description was expected")
    return info


def _by_hand(repository: Repository, folder: Path) -> str:
    return (
        f"It would be cached in {folder}. By hand: download the repository on a machine with a network and run "
        f"cput models import FOLDER --name {repository.stored_name}; a mirror is named with export HF_ENDPOINT=https://..."
    )


def _wanted(repository: Repository, files: dict[str, Any]) -> list[str]:
    if repository.file:
        return _gguf_parts(repository.file, files)
    texts = [name for name in _TEXTS if name in files]
    if all(name in files for name in _OPENVINO):
        return [*texts, *_OPENVINO]
    weights = sorted(name for name in files if re.fullmatch(r"model(-\d+-of-\d+)?\.safetensors", name))
    if weights and "config.json" in files and "tokenizer.json" in files:
        return [*texts, *weights]
    ggufs = sorted(name for name in files if name.endswith(".gguf"))
    if ggufs:
        raise InputError(
            f"'{PREFIX}{repository.org}/{repository.name}' holds GGUF files; name one: "
            + ", ".join(f"{PREFIX}{repository.org}/{repository.name}/{name}" for name in ggufs[:12])
        )
    missing = [name for name in ("config.json", "tokenizer.json", "model*.safetensors") if name not in files]
    raise InputError(
        f"'{PREFIX}{repository.org}/{repository.name}' has no files that can be imported "
        f"(missing: {', '.join(missing)})"
    )


def _gguf_parts(file: str, files: dict[str, Any]) -> list[str]:
    stem = re.sub(r"-\d{5}-of-(\d{5})\.gguf$", r"-*-of-\1.gguf", file)
    pattern = re.escape(stem).replace(r"\*", r"\d{5}")
    parts = sorted(name for name in files if re.fullmatch(pattern, name))
    if file not in parts:
        ggufs = ", ".join(sorted(name for name in files if name.endswith(".gguf"))) or "none"
        raise InputError(f"the repository has no file '{file}'; its GGUF files: {ggufs}")
    return parts


def _remote(repository: Repository, endpoint: str, commit: str, name: str, entry: dict[str, Any]) -> Remote:
    lfs = entry.get("lfs") or {}
    path = urllib.parse.quote(f"{repository.org}/{repository.name}/resolve/{commit}/{name}")
    return Remote(
        url=f"{endpoint}/{path}",
        name=name,
        sha256=lfs.get("sha256"),
        bytes=lfs.get("size") or entry.get("size"),
        headers=_authorization(),
    )


def _authorization() -> tuple[tuple[str, str], ...]:
    token = os.environ.get("HF_TOKEN")
    return (("Authorization", f"Bearer {token}"),) if token else ()


def _inside(folder: Path, name: str) -> Path:
    """Return ``folder/name``; a server must not name a place outside the folder."""
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise SetupError(f"the hub names a file '{name}' outside its repository; nothing was written")
    return target
