"""What `cput models` shows."""

import pytest

from cput.cli import main
from cput.models import ModelStore
from cput.models.catalogue import find


@pytest.mark.parametrize(
    ("name", "argv", "shown"),
    [
        ("gemma-3-270m", ["--accept-license"], "https://ai.google.dev/gemma/terms"),
        ("wordllama-256", [], "Llama 2 70B"),
        ("smollm2-135m-instruct", [], ""),
    ],
)
def test_a_pull_shows_the_notice_that_the_terms_ask_for(name, argv, shown, monkeypatch, capsys):
    """The address of the terms stands there also where they were accepted in advance, as in a script."""
    asked = []

    def pull(_store, name, *, accept_license=False, progress=None):
        asked.append((name, accept_license))
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelStore, "pull", pull)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        main(["models", "pull", name, *argv])
    said = " ".join(capsys.readouterr().err.split())
    entry = find(name)
    assert entry is not None
    assert shown in said
    assert entry.notice in said
    assert asked == [(name, bool(argv))]
