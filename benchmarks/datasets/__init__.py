"""Data sets in their official layouts: what to ask, what to search in, what is relevant."""

from gair_search.benchmarks.datasets.base import (
    Concept,
    Picture,
    RetrievalQuery,
    RetrievalSet,
)

__all__ = ["Concept", "Picture", "RetrievalQuery", "RetrievalSet"]
