"""A catalogue in Qdrant that gair-search did not make: six points, each at the features of its title."""

from typing import Any

from qdrant_client import AsyncQdrantClient, QdrantClient, models

from gair_search.async_engine import AsyncEngine
from gair_search.encoder.clip import Encoder
from gair_search.gallery import Hit

PROMPT = "a photo of a (red:1.3) dress"

PAYLOADS: list[dict[str, Any]] = [
    {"title": "red dress", "price": 20, "product": {"name": "Rosa", "maker": "A"}, "path": "/shop/0.jpg"},
    {"title": "blue dress", "price": 35.5, "product": {"name": "Azul", "maker": "B"}, "path": "/shop/1.jpg"},
    {"title": "green hat", "price": 12, "tags": ["summer", "hat"], "sold": True},
    {"title": "white mug", "price": 7, "sold": False, "made": "2024-05-01T12:00:00Z"},
    {"title": "black bag", "price": 50, "made": "2025-02-01T00:00:00Z", "path": "https://shop.example/4.jpg"},
    {"title": "red boot", "price": 80, "score": 4.5, "id": "R-80", "path": "/shop/5.jpg"},
]
"""Two have no path, and one has fields that are called as a hit's own are."""

IDS: list[int | str] = [0, 1, 2, 3, 4, "00000000-0000-0000-0000-0000000000ff"]


def points(encoder: Encoder) -> list[models.PointStruct]:
    vectors = encoder.encode_texts([payload["title"] for payload in PAYLOADS])
    return [
        models.PointStruct(id=i, vector=vector.tolist(), payload=payload)
        for i, vector, payload in zip(IDS, vectors, PAYLOADS, strict=True)
    ]


def make_catalogue(encoder: Encoder) -> QdrantClient:
    """A client in memory with the collection `catalogue`."""
    client = QdrantClient(":memory:")
    client.create_collection("catalogue", _params(encoder))
    client.upsert("catalogue", points(encoder))
    return client


async def attach_async(encoder: Encoder) -> AsyncEngine:
    """An async engine on a catalogue of its own, for the running loop."""
    client = AsyncQdrantClient(":memory:")
    await client.create_collection("catalogue", _params(encoder))
    await client.upsert("catalogue", points(encoder))
    return await AsyncEngine.attach(client, "catalogue", model=encoder)


def places(hits: list[Hit]) -> list[tuple[str, float]]:
    """Ids as text, and scores."""
    return [(str(hit.id), hit.score) for hit in hits]


def _params(encoder: Encoder) -> models.VectorParams:
    return models.VectorParams(size=encoder.spec.embed_dim, distance=models.Distance.COSINE)
