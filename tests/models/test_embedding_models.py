"""Folders of sentence-transformers and static tables become models that embed; what can't is refused by name."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from cput.errors import InputError, SetupError
from cput.models import ModelStore, load_manifest
from cput.models.embedder import write_embedder


def test_a_folder_of_sentence_transformers_is_imported(minilm_files, minilm, tmp_path):
    stored = ModelStore(tmp_path).add(minilm_files, "mine")
    found, known = load_manifest(stored.folder), load_manifest(minilm.folder)
    assert (found.pooling, found.context_length, found.hidden) == ("mean", 256, 384)
    assert found.sha256 == known.sha256


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("config.json", {"model_type": "mpnet"}, "architecture 'mpnet'; the embedding engine reads bert"),
        ("config.json", {"hidden_act": "relu"}, "activation 'relu'"),
        ("config.json", {"vocab_size": 5}, r"'embeddings.word_embeddings' is \(30522, 384\)"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pools by mean_tokens and max_tokens"),
        ("modules.json", [{"type": "a.Transformer"}, {"type": "a.Pooling"}, {"type": "a.Dense"}], "Pooling, Dense"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(minilm_files, tmp_path, file, change, says):
    source = tmp_path / "changed"
    (source / "1_Pooling").mkdir(parents=True)
    for path in [
        path for path in minilm_files.rglob("*") if path.is_file() and path.suffix in {".json", ".safetensors"}
    ]:
        (source / path.relative_to(minilm_files)).symlink_to(path)
    said = json.loads((source / file).read_text())
    (source / file).unlink()
    (source / file).write_text(json.dumps(said | change if isinstance(said, dict) else change))
    (tmp_path / "out").mkdir()
    with pytest.raises((InputError, SetupError), match=says):
        write_embedder(source, tmp_path / "out", name="x", source="y")


def test_a_static_table_with_more_beside_it_is_refused(wordllama_files, tmp_path):
    (tmp_path / "tokenizer.json").symlink_to(wordllama_files / "tokenizer.json")
    save_file({"embedding.weight": np.ones((3, 2)), "weights": np.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(SetupError, match=r"weights \(3,\); a static model is one table called embedding\.weight"):
        ModelStore(tmp_path / "store").add(tmp_path, "x")


def test_a_static_table_is_imported(wordllama_files, wordllama, tmp_path):
    stored = ModelStore(tmp_path).add(wordllama_files, "mine")
    found = load_manifest(stored.folder)
    assert (found.architecture, found.hidden, found.lengths, found.special_tokens) == ("static", 256, (64, 128), False)
    assert found.sha256 == load_manifest(wordllama.folder).sha256


def test_the_catalogue_says_what_is_in_the_models(minilm, wordllama):
    for stored in (minilm, wordllama):
        entry = next(entry for entry in ModelStore().catalogue() if entry.name == stored.name)
        assert (stored.parameters, stored.architecture, stored.licence) == (
            entry.parameters,
            entry.architecture,
            entry.licence,
        )
        assert stored.embedded
