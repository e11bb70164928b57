"""Plugging an embedding model behind a door."""

from pathlib import Path

from cput.cli import plug
from cput.cli.cache import Plugged
from cput.engines import open_engine
from cput.engines.embedder import Embedder
from cput.errors import CputError
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.models import ModelStore, load_manifest
from cput.protocols import Engine
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.reserved import Reserved
from cput.serve.serving import Serving, Stack


def embeds(model: str) -> bool:
    """Whether a name or a folder is that of a stored embedding model; False for what is not there."""
    try:
        return load_manifest(ModelStore().get(model).folder).pooling is not None
    except CputError:
        return False  # whoever opens it says why


def embedding_model(
    model: str,
    precision: str,
    door: Door,
    book: PriceBook,
    device: Reserved | None = None,
    *,
    keep_text: bool,
    plugged: Plugged | None = None,
) -> tuple[str, Model]:
    """Return an embedding model, metered, and the name that it is served under. ``device`` charges its seconds.

    Raises:
        CputError: it is not there, or is none.
    """
    leaf = open_engine("embedder", model=plug.model_folder(model, precision))
    assert isinstance(leaf, Embedder)
    run = None if device is None else device.run.id
    prices = book if device is None else device
    sink = door.tally if plugged is None else plugged.bills
    engine: Engine = Metered(leaf, sink, run=run, keep_text=keep_text, prices=prices)
    if plugged is not None:
        version = leaf.manifest.sha256
        engine = plugged.around(engine, model=Path(model).name, version=version, keep_text=keep_text)
    stack = Stack(
        engine_for=lambda _: engine,
        close=engine.aclose,
        load=leaf.start,
        words=f"{model} for embeddings: {precision} weights",
        count_prompt=lambda call: leaf.count_tokens(call.embed),
    )
    return Path(model).name, Model(serving=Serving(stack), takes=Takes.VECTORS)
