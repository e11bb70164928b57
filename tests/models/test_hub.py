"""A hub name becomes a stored model; a hub that does not answer becomes a sentence that says what to do."""

import hashlib

import loopback
import pytest
import tiny

from cput.errors import InputError, SetupError
from cput.models import ModelStore, hub
from cput.models import fetch as fetching


@pytest.fixture
def hosted(site, tmp_path, monkeypatch):
    """A tiny model on a hub of our own."""
    tiny.write_hf_folder(tmp_path / "hf", "llama", shards=2)
    publish(
        site,
        {path.name: path.read_bytes() for path in (tmp_path / "hf").iterdir()}
        | {"README.md": b"#", "pytorch_model.bin": b"x"},
    )
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return site


def publish(site, files):
    siblings = []
    for name, body in files.items():
        site.files[f"/org/tiny/resolve/abc123/{name}"] = body
        entry = {"rfilename": name, "size": len(body)}
        if name.endswith((".safetensors", ".gguf")):
            entry["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
        siblings.append(entry)
    site.add_json("/api/models/org/tiny", {"sha": "abc123", "siblings": siblings})


def test_a_hub_model_is_pulled_converted_and_found_again(hosted, tmp_path):
    store = ModelStore(tmp_path / "store")
    hosted.cut_after = [10_000, 500]  # the description arrives whole; then a file breaks off and resumes
    model = store.pull("hf:org/tiny")
    assert (model.name, model.source, model.architecture) == ("tiny", "hf:org/tiny@abc123", "llama")
    assert store.get("hf:org/tiny") == store.get("tiny") == model
    asked = [path for path, *_ in hosted.asked]
    assert not any("pytorch_model.bin" in path or "README" in path for path in asked)
    assert not (tmp_path / "store" / ".downloads" / "tiny").exists()
    count = len(hosted.asked)
    assert store.pull("hf:org/tiny") == model
    assert len(hosted.asked) == count  # stored already: the network is not touched


def test_the_token_goes_to_the_hub(hosted, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.fetch_repository(hub.parse("hf:org/tiny"), tmp_path / "d")
    assert {authorization for *_, authorization in hosted.asked} == {"Bearer secret"}


def test_the_token_does_not_follow_a_redirect_to_storage_elsewhere(hosted, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    name = "/org/tiny/resolve/abc123/model-00001-of-00002.safetensors"
    with loopback.serve() as storage:
        storage.files["/blob"] = hosted.files[name]
        storage.cut_after = [1000]
        hosted.moved[name] = f"{storage.url}/blob"
        monkeypatch.setattr(fetching.time, "sleep", lambda _: None)
        hub.fetch_repository(hub.parse("hf:org/tiny"), tmp_path / "d")
        assert storage.asked == [("/blob", None, None), ("/blob", "bytes=1000-", None)]  # the range does follow


def test_a_repository_of_ggufs_asks_which_one(hosted, tmp_path):
    publish(hosted, {"a-Q4.gguf": b"1", "a-Q8.gguf": b"2", "config.json": b"{}"})
    with pytest.raises(InputError, match=r"name one: hf:org/tiny/a-Q4.gguf, hf:org/tiny/a-Q8.gguf"):
        ModelStore(tmp_path / "store").pull("hf:org/tiny")
    with pytest.raises(InputError, match=r"no file 'b.gguf'; its GGUF files: a-Q4.gguf, a-Q8.gguf"):
        ModelStore(tmp_path / "store").pull("hf:org/tiny/b.gguf")
    fetched = hub.fetch_repository(hub.parse("hf:org/tiny/a-Q8.gguf"), tmp_path / "d")
    assert fetched.path.read_bytes() == b"2"


def test_a_damaged_hub_file_stores_nothing(hosted, tmp_path):
    name = "/org/tiny/resolve/abc123/model-00002-of-00002.safetensors"
    body = bytearray(hosted.files[name])
    body[-1] ^= 1
    hosted.files[name] = bytes(body)
    store = ModelStore(tmp_path / "store")
    with pytest.raises(SetupError, match=r"wrong checksum: sha256 [0-9a-f]{64}, expected [0-9a-f]{64}"):
        store.pull("hf:org/tiny")
    assert store.list() == ()


def test_an_unknown_or_gated_model_is_told_apart_from_no_network(hosted, tmp_path, monkeypatch):
    with pytest.raises(SetupError, match=r"does not show 'hf:org/other' \(404\).*HF_TOKEN"):
        ModelStore(tmp_path / "store").pull("hf:org/other")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        SetupError, match=r"hf:org/tiny.*would be cached in .*tiny.*cput models import FOLDER.*HF_ENDPOINT"
    ):
        ModelStore(tmp_path / "store").pull("hf:org/tiny")


def test_a_hub_that_names_a_place_outside_its_repository_is_refused(hosted, tmp_path):
    publish(hosted, {"../../evil.gguf": b"x", "a.gguf": b"y"})
    with pytest.raises(InputError, match=r"not a hub name"):
        hub.parse("hf:org/tiny/../../evil.gguf")
    with pytest.raises(SetupError, match=r"outside its repository"):
        hub._inside(tmp_path / "d", "../../evil.gguf")


@pytest.mark.parametrize(
    "text", ["hf:", "hf:org", "hf:org/a/b", "hf:org/a b", "hf:/a", "hf:o/a@", "hf:o/a\n", "hf:o/a/x.safetensors"]
)
def test_what_is_no_hub_name_is_said_with_what_is(text):
    with pytest.raises(InputError, match=r"allowed: hf:organisation/name"):
        hub.parse(text)


def test_a_hub_name_is_taken_apart():
    parsed = hub.parse("hf:Qwen/Qwen2.5-0.5B@main/sub/Q-4.gguf")
    assert (parsed.org, parsed.name, parsed.revision, parsed.file) == ("Qwen", "Qwen2.5-0.5B", "main", "sub/Q-4.gguf")
    assert parsed.stored_name == "q-4-main"
