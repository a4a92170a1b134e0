"""A shop's catalogue in Qdrant, and gair-search attached to it: weighted words, and a concept from three products.

    python examples/attach.py

The catalogue is made as anybody would make one, with open_clip and qdrant-client; gair-search comes to it afterwards.
"""

import open_clip
import torch
from PIL import Image
from qdrant_client import QdrantClient, models


def make_catalogue(
    client: QdrantClient, pictures: list[Image.Image], model: torch.nn.Module, preprocess
) -> None:
    """Embed pictures with a CLIP model, and store them under their numbers in the vector `clip`."""
    with torch.inference_mode():
        vectors = model.encode_image(torch.stack([preprocess(picture) for picture in pictures]))
    layout = {"clip": models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)}
    client.create_collection("catalogue", vectors_config=layout)
    points = [
        models.PointStruct(
            id=i, vector={"clip": vector.tolist()}, payload={"sku": f"S{i:03}", "product": {"price": 5 * i}}
        )
        for i, vector in enumerate(vectors)
    ]
    client.upsert("catalogue", points)


def search_catalogue(client: QdrantClient, model, tokenizer, preprocess, tokens: str) -> list[list]:
    """What gair-search adds: attach, search with weights, learn a concept by ids, search with it."""
    from gair_search import Encoder, Engine

    encoder = Encoder.from_open_clip(model, tokenizer, preprocess)
    engine = Engine.attach(client, "catalogue", model=encoder, tokens=tokens)
    weighted = engine.search("a (red:1.4) dress on a [brick wall]", k=3, where="product.price>20")

    engine.learn("my-dress", points=[0, 1, 2], parent="dress", changes={"steps": 200, "learning_rate": 0.05})
    learned = engine.search("a <my-dress> dress in the snow", k=3)
    return [weighted, learned]


def main() -> None:
    import tempfile

    from gair_search.benchmarks.fashion_world import instance, render, scene  # pictures of a made-up shop
    from gair_search.encoder.models import resolve

    dress = instance(7, "test", kind="dress")
    shown = [scene(seed, "test", item=dress) for seed in range(8)]
    shown += [scene(seed, "test", item=instance(seed, "test", kind="dress")) for seed in range(100, 124)]
    shown += [scene(seed, "test", item=instance(seed, "test", kind="hat")) for seed in range(200, 216)]

    name = resolve("gair-mini").architecture  # any model of open_clip's
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    client = QdrantClient(":memory:")
    make_catalogue(client, [render(one, 96) for one in shown], model.eval(), preprocess)

    with tempfile.TemporaryDirectory() as tokens:
        weighted, learned = search_catalogue(client, model, tokenizer, preprocess, tokens)
    for title, hits in (
        ("a (red:1.4) dress on a [brick wall], above 20", weighted),
        ("<my-dress> in the snow", learned),
    ):
        print(title)
        for hit in hits:
            print(f"  {hit.rank}  {hit.score:.3f}  product {hit.id}, {hit.payload['product']['price']}")


if __name__ == "__main__":
    main()
