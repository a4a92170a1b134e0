"""A catalogue in Qdrant, made as a stranger would: with qdrant-client alone."""

import uuid
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

NAME = "catalogue"

COLOURS = ("red", "blue", "green")


def payload(i: int) -> dict[str, Any]:
    """Product `i` of a shop: nested, and with fields that have the names of ours."""
    return {
        "sku": f"sku-{i}",
        "product_id": f"p{i // 2}",
        "family": i // 3,
        "score": 100 - i,
        "product": {"colour": COLOURS[i % 3], "price": 10.0 * i, "in_stock": i % 2 == 0, "größe": f"{i}"},
        "variants": [{"size": "S"}, {"size": "L" if i % 2 else "M"}],
        "released": f"20{10 + i:02}-05-31T12:00:00Z",
    }


def point_id(i: int, kind: str) -> int | str:
    """The id of product `i`: an integer, or a UUID."""
    return i if kind == "int" else str(uuid.UUID(int=10_000 + i))


def fill(
    client: QdrantClient,
    vectors: NDArray[np.float32],
    *,
    vector: str | None = None,
    others: dict[str, int] | None = None,
    distance: models.Distance = models.Distance.COSINE,
    ids: str = "int",
    quantized: bool = False,
    name: str = NAME,
) -> None:
    """Make a collection of products with these vectors `[N, dim]`.

    Args:
        vector: its name; None for an unnamed one.
        others: further vectors' names and lengths.
        ids: `int` or `uuid`.
        quantized: whether int8 copies of the vectors are kept.
    """
    dim = vectors.shape[1]
    own = models.VectorParams(size=dim, distance=distance)
    beside = {
        key: models.VectorParams(size=size, distance=models.Distance.DOT)
        for key, size in (others or {}).items()
    }
    scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    client.create_collection(
        name,
        vectors_config=own if vector is None else {vector: own, **beside},
        quantization_config=models.ScalarQuantization(scalar=scalar) if quantized else None,
    )
    rest = {key: [1.0] * size for key, size in (others or {}).items()}
    points = [
        models.PointStruct(
            id=point_id(i, ids),
            vector=row.tolist() if vector is None else {vector: row.tolist(), **rest},
            payload=payload(i),
        )
        for i, row in enumerate(vectors)
    ]
    if points:
        client.upsert(name, points)


def dump(client: QdrantClient, name: str = NAME) -> tuple[Any, ...]:
    """All that a collection is and holds, to be compared.

    Vectors to six digits: the client's own engine normalises what it holds with every search.
    """
    records, _ = client.scroll(name, limit=10_000, with_payload=True, with_vectors=True)
    info = client.get_collection(name)
    stored = [(record.id, record.payload, _rounded(record.vector)) for record in records]
    return info.config.model_dump(), info.payload_schema, stored


def _rounded(vector: Any) -> Any:
    if isinstance(vector, dict):
        return {name: _rounded(own) for name, own in vector.items()}
    return [round(value, 6) for value in vector]
