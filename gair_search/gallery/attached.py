"""The attached gallery: a collection of somebody else's, as it is, through their own client."""

from collections.abc import Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any

from qdrant_client import models

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import EmbedderMismatchError, GalleryError
from gair_search.gallery.base import GalleryConfig, Point
from gair_search.gallery.collection import CollectionGallery, CollectionLayout
from gair_search.gallery.filters import Kind


class AttachedGallery(CollectionGallery):
    """A collection that gair-search did not make: any ids, any payload, one of its vectors.

    It is only read, save by `upsert` and `delete`, which the engine calls where its user says so. The client stays
    the user's: `close` leaves it open.
    """

    is_foreign = True

    def __init__(
        self,
        client: Any,
        collection: str,
        vector: str | None = None,
        secret: str | None = None,
        name: str | None = None,
    ) -> None:
        """Attach to a collection.

        Args:
            client: a `QdrantClient`: of a server, a cluster, `:memory:` or a local path.
            collection: the collection's name.
            vector: name of the vector to search; None for the only one.
            secret: the API key, to be blotted out of every message.
            name: where it is, for messages; the collection's name unless given.

        Raises:
            GalleryError: there is no such collection or vector; its distance is not Cosine or Dot.
        """
        if not hasattr(client, "query_points") or not hasattr(client, "get_collection"):
            raise GalleryError(f"client: expected a qdrant_client.QdrantClient, not {type(client).__name__}")
        if iscoroutinefunction(client.get_collection):
            raise GalleryError(
                "client: expected a QdrantClient; AsyncEngine.attach takes an AsyncQdrantClient"
            )
        super().__init__(client, collection, name or f"collection {collection}", vector, secret)
        if not self._ask(lambda: client.collection_exists(collection)):
            names = sorted(one.name for one in self._ask(client.get_collections).collections)
            raise GalleryError(
                f"there is no collection {collection}; there are: {', '.join(names) or 'none'}"
            )
        self.layout = CollectionLayout.read(self._info(), vector, self.name)
        self.vector = self.layout.vector

    @property
    def embedder(self) -> EmbedderId | None:
        """Which model made the vectors, where gair-search did; None where nobody can say."""
        return self.layout.embedder

    @property
    def exists(self) -> bool:
        return True

    @property
    def fields(self) -> Mapping[str, Kind]:
        return self.layout.fields

    def facts(self) -> dict[str, Any]:
        layout = self.layout
        described = {"vector": layout.vector, "dim": layout.dim, "distance": layout.distance}
        return {"collection": {"name": self.collection, **described, "fields": dict(layout.fields)}}

    def require_dim(self, model: str, dim: int) -> None:
        """Check that vectors of a model's length can be compared with those stored. Raises EmbedderMismatchError."""
        if dim != self.layout.dim:
            which = f"vector {self.vector!r} of " if self.vector else ""
            raise EmbedderMismatchError(
                f"{which}{self.name} has {self.layout.dim} dimensions, and the model {model} makes {dim}: it was made "
                f"with another model, or is another vector than the one meant"
            )

    def require(self, embedder: EmbedderId) -> None:
        self.require_dim(embedder.name, embedder.dim)
        if self.embedder is not None:
            super().require(embedder)

    def create(self, embedder: EmbedderId, config: GalleryConfig) -> None:
        raise GalleryError(f"{self.name} is attached: it is used as it is, and not made by gair-search")

    def ensure(self, embedder: EmbedderId, config: GalleryConfig | None = None) -> None:
        raise GalleryError(
            f"{self.name} is attached: folders are indexed into galleries of gair-search's own. Store images in it "
            f"with index_images, which takes ids and payloads"
        )

    def upsert(self, points: Sequence[Point]) -> None:
        """Store points. Of one that is there, other vectors and other payload fields stay as they are."""
        there = self.payloads([point.id for point in points], [])
        operations: list[Any] = []
        new = [
            models.PointStruct(id=point.id, vector=self._as_stored(point.vector), payload=dict(point.payload))
            for point in points
            if point.id not in there
        ]
        if new:
            operations.append(models.UpsertOperation(upsert=models.PointsList(points=new)))
        for point in points:
            if point.id in there:
                own = models.PointVectors(id=point.id, vector=self._as_stored(point.vector))
                operations.append(
                    models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=[own]))
                )
                if point.payload:
                    fields = models.SetPayload(payload=dict(point.payload), points=[point.id])
                    operations.append(models.SetPayloadOperation(set_payload=fields))
        if operations:
            self._ask(lambda: self._client.batch_update_points(self.collection, operations, wait=True))
