"""gair-search: search your own images by words, custom tokens and weighted prompts.

`from gair_search import Engine` is the door; nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "AsyncEngine",
    "CustomToken",
    "Encoder",
    "Engine",
    "GairConfig",
    "GairError",
    "GairWarning",
    "GalleryConfig",
    "Hit",
    "Image",
    "SamplingConfig",
    "Text",
    "TokenStore",
    "UrlConfig",
    "Vector",
    "__version__",
    "compile_query",
]

if TYPE_CHECKING:
    from gair_search.async_engine import AsyncEngine
    from gair_search.encoder.clip import Encoder
    from gair_search.engine import Engine
    from gair_search.errors import GairError, GairWarning
    from gair_search.gair.options import GairConfig
    from gair_search.gallery import GalleryConfig, Hit
    from gair_search.generation.sampling import SamplingConfig
    from gair_search.images.fetching import UrlConfig
    from gair_search.query.compiler import compile_query
    from gair_search.query.terms import Image, Text, Vector
    from gair_search.tokens.custom_token import CustomToken
    from gair_search.tokens.store import TokenStore

_HOMES = {
    "AsyncEngine": "gair_search.async_engine",
    "CustomToken": "gair_search.tokens.custom_token",
    "Encoder": "gair_search.encoder.clip",
    "Engine": "gair_search.engine",
    "GairError": "gair_search.errors",
    "GairConfig": "gair_search.gair.options",
    "GairWarning": "gair_search.errors",
    "GalleryConfig": "gair_search.gallery",
    "Hit": "gair_search.gallery",
    "Image": "gair_search.query.terms",
    "Text": "gair_search.query.terms",
    "UrlConfig": "gair_search.images.fetching",
    "Vector": "gair_search.query.terms",
    "compile_query": "gair_search.query.compiler",
    "SamplingConfig": "gair_search.generation.sampling",
    "TokenStore": "gair_search.tokens.store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
