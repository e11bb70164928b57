"""The model store: pull, import and keep models in the form that the embedded engine loads."""

from cput.models.catalogue import CatalogueEntry
from cput.models.manifest import Manifest, load_manifest
from cput.models.store import ModelStore, default_root
from cput.models.stored import StoredModel

__all__ = ["CatalogueEntry", "Manifest", "ModelStore", "StoredModel", "default_root", "load_manifest"]
