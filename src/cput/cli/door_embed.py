"""Plugging an embedding model behind a door."""

from pathlib import Path

from cput.cli import plug
from cput.engines import open_engine
from cput.engines.embedder import Embedder
from cput.errors import CputError
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.models import ModelStore, load_manifest
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.serving import Serving, Stack


def embeds(model: str) -> bool:
    """Whether a name or a folder is that of a stored embedding model; False for what is not there."""
    try:
        return load_manifest(ModelStore().get(model).folder).pooling is not None
    except CputError:
        return False  # whoever opens it says why


def embedding_model(model: str, precision: str, door: Door, book: PriceBook, *, keep_text: bool) -> tuple[str, Model]:
    """Return an embedding model, metered, and the name that it is served under.

    Raises:
        CputError: it is not there, or is none.
    """
    leaf = open_engine("embedder", model=plug.model_folder(model, precision))
    assert isinstance(leaf, Embedder)
    engine = Metered(leaf, door.tally, keep_text=keep_text, prices=book)
    stack = Stack(
        engine_for=lambda _: engine,
        close=engine.aclose,
        load=leaf.start,
        words=f"{model} for embeddings: {precision} weights",
        count_prompt=lambda call: leaf.count_tokens(call.embed),
    )
    return Path(model).name, Model(serving=Serving(stack), takes=Takes.VECTORS)
