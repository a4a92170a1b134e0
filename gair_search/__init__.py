"""gair-search: search your own images by words, custom tokens and weighted prompts.

`from gair_search import Engine` is the door; nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Engine",
    "GairConfig",
    "GairError",
    "GairWarning",
    "GalleryConfig",
    "Hit",
    "SamplingConfig",
    "__version__",
]

if TYPE_CHECKING:
    from gair_search.engine import Engine
    from gair_search.errors import GairError, GairWarning
    from gair_search.gair.options import GairConfig
    from gair_search.gallery import GalleryConfig, Hit
    from gair_search.generation.sampling import SamplingConfig

_HOMES = {
    "Engine": "gair_search.engine",
    "GairError": "gair_search.errors",
    "GairConfig": "gair_search.gair.options",
    "GairWarning": "gair_search.errors",
    "GalleryConfig": "gair_search.gallery",
    "Hit": "gair_search.gallery",
    "SamplingConfig": "gair_search.generation.sampling",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
