"""The store holds whole models only, one build at a time, under names that are names."""

import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError, SetupError
from cput.models import ModelStore, default_root, load_manifest
from cput.models.files import checked_name
from cput.models.manifest import IR_FILES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with one tiny model; tests copy it."""
    root = tmp_path_factory.mktemp("made")
    tiny.write_hf_folder(root / "hf")
    ModelStore(root / "store").add(root / "hf", "tiny")
    return root / "store"


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made, tmp_path / "store")
    return ModelStore(tmp_path / "store")


def copy_build(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)


def files_of(store):
    return sorted(
        str(path.relative_to(store.root))
        for path in store.root.rglob("*")
        if path.is_file() and ".locks" not in path.parts
    )


def test_an_ir_folder_holds_its_five_files(store):
    model = store.get("tiny")
    assert sorted(path.name for path in model.folder.iterdir()) == sorted(IR_FILES)
    assert model == store.list()[0]
    assert (model.precision, model.precisions, model.embedded) == ("f16", ("f16",), True)


def test_the_root_follows_cput_home_then_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("CPUT_HOME", raising=False)
    if sys.platform == "linux":
        assert default_root() == tmp_path / "xdg" / "cput" / "models"
    monkeypatch.setenv("CPUT_HOME", str(tmp_path / "home"))
    assert default_root() == tmp_path / "home" / "models"
    assert ModelStore().list() == ()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "-x", ".x", "a..b", "x.partial", "x.lock", "a b", "a\0b", "a\n", "x" * 129],
)
def test_names_that_are_paths_or_would_hide_are_refused(name, store, tmp_path):
    before = files_of(store)
    for action in (lambda: store.add(tmp_path, name), lambda: store.remove(name)):
        with pytest.raises(InputError, match=r"(?s)name '.*' is not allowed"):
            action()
    assert files_of(store) == before


@given(st.text(max_size=20))
def test_a_name_that_is_allowed_stays_inside_its_folder(text):
    try:
        name = checked_name(text)
    except InputError:
        return
    assert Path(os.path.normpath(Path("/models") / name)).parent == Path("/models")


def test_an_unknown_name_is_answered_with_the_nearest(store):
    with pytest.raises(
        InputError, match=r"unknown model 'tinny'; did you mean 'tiny'\? Allowed: .*smollm2-135m-instruct"
    ):
        store.get("tinny")
    with pytest.raises(InputError, match=r"did you mean 'smollm2-135m-instruct'"):
        store.pull("smolm2-135m-instruct")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("smollm2-135m-instruct", "pull smollm2-135m-instruct"),
        ("gemma-3-270m", "pull gemma-3-270m --accept-license"),
        ("hf:org/x", "pull hf:org/x"),
    ],
)
def test_a_known_model_that_is_not_here_says_how_to_get_it(name, command, store):
    with pytest.raises(SetupError, match=rf"run: cput models {command}$"):
        store.get(name)


def test_a_path_is_a_model_or_says_how_to_become_one(store, tmp_path):
    by_path = store.get(str(store.get("tiny").folder))
    assert (by_path.name, by_path.sha256) == ("tiny", store.get("tiny").sha256)
    tiny.write_hf_folder(tmp_path / "hf")
    with pytest.raises(SetupError, match=r"run: cput models import .*/hf"):
        store.get(tmp_path / "hf")


def test_a_variant_is_built_once_and_kept(store):
    calls = []

    def build(source, target):
        calls.append(source)
        copy_build(source, target)

    first = store.variant("tiny", "int8", build)
    assert store.variant("tiny", "int8", build) == first == store.root / "tiny" / "int8"
    assert calls == [store.get("tiny").folder]
    assert store.variant("tiny", "f16", build) == store.get("tiny").folder
    assert store.get("tiny").precisions == ("f16", "int8")


def test_a_variant_of_a_folder_elsewhere_is_kept_in_the_store(store, tmp_path):
    shutil.copytree(store.get("tiny").folder, tmp_path / "mine")
    folder = store.variant(tmp_path / "mine", "int4", copy_build)
    assert folder.is_relative_to(store.root)
    assert not (tmp_path / "int4").exists()
    assert [model.name for model in store.list()] == ["tiny"]


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]
)
def test_a_build_that_fails_leaves_nothing(error, store):
    before = files_of(store)

    def build(source, target):
        (target / "openvino_model.xml").write_text("half")
        (target / "model.json").write_text("{}")
        raise error

    with pytest.raises(SetupError if isinstance(error, OSError) else type(error)):
        store.variant("tiny", "int8", build)
    assert files_of(store) == before
    assert store.get("tiny").precisions == ("f16",)


def test_a_partial_folder_of_a_killed_process_is_no_model_and_is_cleared(store):
    left = store.root / "tiny" / "int8.partial"
    copy = store.root / "other.partial" / "f16"
    left.mkdir()
    (left / "rubbish").write_text("x")
    shutil.copytree(store.get("tiny").folder, copy)
    assert [model.name for model in store.list()] == ["tiny"]
    target = store.variant("tiny", "int8", copy_build)
    assert not left.exists()
    assert not (target / "rubbish").exists()


def test_two_threads_get_one_build(store):
    calls = []

    def build(source, target):
        calls.append(1)
        copy_build(source, target)

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: store.variant("tiny", "int8", build), range(4)))
    assert len(calls) == 1
    assert len(set(folders)) == 1


def test_two_processes_get_one_build(store, tmp_path):
    script = (
        "import sys, shutil, time\n"
        "from pathlib import Path\n"
        "from cput.models import ModelStore\n"
        "def build(source, target):\n"
        "    with open(sys.argv[2], 'a') as log: log.write('built\\n')\n"
        "    time.sleep(0.3)\n"
        "    [shutil.copyfile(path, target / path.name) for path in source.iterdir()]\n"
        "print(ModelStore(Path(sys.argv[1])).variant('tiny', 'int8', build))\n"
    )
    command = [sys.executable, "-c", script, str(store.root), str(tmp_path / "log")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert said == [str(store.root / "tiny" / "int8")] * 2
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_stored_name_is_not_replaced_unless_asked(store, tmp_path):
    tiny.write_hf_folder(tmp_path / "hf", seed=5)
    before = store.get("tiny")
    store.variant("tiny", "int8", copy_build)
    with pytest.raises(InputError, match=r"called 'tiny' is stored already"):
        store.add(tmp_path / "hf", "tiny")
    assert store.get("tiny").sha256 == before.sha256
    after = store.add(tmp_path / "hf", "tiny", force=True)
    assert after.sha256 != before.sha256
    assert after.precisions == ("f16",)  # a variant of the old weights would be another model


def test_a_replacement_that_fails_keeps_the_old_model(store, tmp_path):
    tiny.write_hf_folder(tmp_path / "hf", extra={"hidden_act": "gelu"})
    before = files_of(store)
    with pytest.raises(SetupError):
        store.add(tmp_path / "hf", "tiny", force=True)
    assert files_of(store) == before


def test_removing_takes_every_precision(store):
    store.variant("tiny", "int8", copy_build)
    store.remove("tiny")
    assert store.list() == ()
    assert files_of(store) == []
    with pytest.raises(InputError, match=r"unknown model 'tiny'"):
        store.remove("tiny")


def test_what_is_no_model_is_refused_with_what_is(store, tmp_path):
    with pytest.raises(InputError, match=r"does not exist; give a GGUF file"):
        store.add(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"neither openvino_model.xml \(OpenVINO\) nor config.json"):
        store.add(tmp_path / "empty")
    (tmp_path / "empty" / "x.gguf").write_bytes(b"")
    with pytest.raises(InputError, match=r"import the file itself, e.g. .*x.gguf"):
        store.add(tmp_path / "empty")


def test_precision_is_one_of_three(store):
    with pytest.raises(InputError, match=r"precision 'int3' is unknown; allowed: f16, int8, int4"):
        store.variant("tiny", "int3", copy_build)


def test_an_openvino_export_is_taken_in_and_described(store, tmp_path):
    export = tmp_path / "export"
    tiny.write_hf_folder(export)
    (export / "model.safetensors").unlink()
    ours = store.get("tiny")
    for name in ("openvino_model.xml", "openvino_model.bin"):
        shutil.copyfile(ours.folder / name, export / name)
    manifest = load_manifest(store.add(export, "exported").folder)
    original = load_manifest(ours.folder)
    for name in (
        "architecture",
        "layers",
        "kv_heads",
        "head_dim",
        "hidden",
        "vocab_size",
        "context_length",
        "eos_token_ids",
        "pad_token_id",
        "chat_template",
        "precision",
        "sha256",
    ):
        assert getattr(manifest, name) == getattr(original, name), name
    assert abs(manifest.parameters - original.parameters) < 1000  # constants of the graph (masks, axes) are counted too
    (export / "openvino_model.bin").unlink()
    with pytest.raises(InputError, match=r"has no openvino_model.bin"):
        store.add(export, "broken")


def test_our_own_folder_is_taken_in_only_whole(store, tmp_path):
    shutil.copytree(store.get("tiny").folder, tmp_path / "copy")
    added = store.add(tmp_path / "copy", "again")
    assert (added.sha256, added.name) == (store.get("tiny").sha256, "again")
    weights = tmp_path / "copy" / "openvino_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(SetupError, match=r"wrong checksum: sha256 [0-9a-f]{64}, expected [0-9a-f]{64}"):
        store.add(tmp_path / "copy", "third")


def test_a_forbidden_folder_says_how_to_choose_another(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SetupError, match=r"cannot be written \(Permission denied\).*export CPUT_HOME"):
        ModelStore(tmp_path / "store").pull("smollm2-135m-instruct")


def test_a_broken_manifest_names_the_field(store):
    path = store.get("tiny").folder / "model.json"
    path.write_text('{"name": "tiny"}')
    with pytest.raises(InputError, match=r"model.json' lacks the field.*'architecture'"):
        load_manifest(path.parent)
    path.write_text("[]")
    with pytest.raises(InputError, match=r"holds a list"):
        load_manifest(path.parent)
