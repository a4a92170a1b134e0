"""A real HTTP server that speaks the part of Qdrant's REST API that we use, over the client's own local
engine. It can be told to fail, to be slow, and to ask for a key."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qdrant_client import QdrantClient, models


@dataclass
class RestServer:
    """Its address, and how it should behave.

    Attributes:
        api_key: requests without it get 401.
        fail: how many of the next requests get `fail_status`.
        delay: seconds before each answer.
        requests: how many were asked.
        created: the body of the last request that made a collection.
        indexed: the payload fields that were indexed.
        written: the requests that would change anything.
    """

    url: str = ""
    api_key: str | None = None
    fail: int = 0
    fail_status: int = 503
    delay: float = 0.0
    requests: int = 0
    created: dict[str, Any] = field(default_factory=dict)
    indexed: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    client: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    lock: threading.Lock = field(default_factory=threading.Lock)


_READING = {
    ("GET", "exists"),
    ("GET", ""),
    ("POST", "points"),
    ("POST", "points/count"),
    ("POST", "points/scroll"),
    ("POST", "points/query"),
    ("POST", "points/query/batch"),
    ("POST", "points/query/groups"),
}
"""Requests that change nothing; whatever else there is counts as writing."""


def _answer(server: RestServer, method: str, parts: list[str], body: dict[str, Any]) -> Any:
    """The result of one request."""
    client = server.client
    if parts == ["collections"]:
        return client.get_collections()
    name, rest = parts[1], "/".join(parts[2:])
    if (method, rest) not in _READING:
        server.written.append(f"{method} {rest}")
    if (method, rest) == ("GET", "exists"):
        return {"exists": client.collection_exists(name)}
    if (method, rest) == ("GET", ""):
        return client.get_collection(name)
    if (method, rest) == ("PUT", ""):
        server.created = body
        wanted = models.CreateCollection(**body)
        return client.create_collection(name, vectors_config=wanted.vectors, metadata=wanted.metadata)
    if (method, rest) == ("PUT", "index"):
        server.indexed.append(body["field_name"])
        return {"operation_id": 0, "status": "completed"}
    if (method, rest) == ("PUT", "points"):
        return client.upsert(name, models.PointsList(**body).points)
    if (method, rest) == ("POST", "points/batch"):
        client.batch_update_points(name, models.UpdateOperations(**body).operations)
        return [models.UpdateResult(status=models.UpdateStatus.COMPLETED)]
    if (method, rest) == ("POST", "points/delete"):
        return client.delete(name, models.PointIdsList(**body))
    if (method, rest) == ("POST", "points"):
        asked = models.PointRequest(**body)
        return client.retrieve(
            name, asked.ids, with_payload=asked.with_payload, with_vectors=asked.with_vector
        )
    if (method, rest) == ("POST", "points/count"):
        return client.count(name)
    if (method, rest) == ("POST", "points/scroll"):
        page = models.ScrollRequest(**body)
        points, offset = client.scroll(
            name,
            scroll_filter=page.filter,
            limit=page.limit,
            offset=page.offset,
            with_payload=page.with_payload,
            with_vectors=page.with_vector,
        )
        return {"points": [p.model_dump(mode="json") for p in points], "next_page_offset": offset}
    if (method, rest) == ("POST", "points/query"):
        return _answer_query(client, name, models.QueryRequest(**body))
    if (method, rest) == ("POST", "points/query/batch"):
        asked = [models.QueryRequest(**one) for one in body["searches"]]
        return [_answer_query(client, name, one) for one in asked]
    if (method, rest) == ("POST", "points/query/groups"):
        groups = models.QueryGroupsRequest(**body)
        return client.query_points_groups(
            name,
            groups.group_by,
            query=groups.query,
            using=groups.using,
            limit=groups.limit,
            group_size=groups.group_size,
            query_filter=groups.filter,
            score_threshold=groups.score_threshold,
            with_payload=groups.with_payload,
        )
    raise ValueError(f"{method} {rest} is not spoken here")


def _answer_query(client: QdrantClient, name: str, query: models.QueryRequest) -> Any:
    """The result of one search."""
    return client.query_points(
        name,
        query=query.query,
        using=query.using,
        limit=query.limit,
        offset=query.offset,
        query_filter=query.filter,
        score_threshold=query.score_threshold,
        with_payload=query.with_payload,
    )


@contextmanager
def rest_server(**behaviour: Any) -> Iterator[RestServer]:
    """Run a server on a free port of the loopback interface."""
    server = RestServer(**behaviour)

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(server.delay)
            with server.lock:
                server.requests += 1
                if server.api_key and self.headers.get("api-key") != server.api_key:
                    return self._send(401, b"Must provide an API key or an Authorization bearer token")
                if server.fail:
                    server.fail -= 1
                    return self._send(server.fail_status, b'{"status":{"error":"told to fail"}}')
                parts = self.path.split("?")[0].strip("/").split("/")
                try:
                    result = _answer(server, self.command, parts, json.loads(body or b"{}"))
                except ValueError as error:  # as the local engine's "already exists"
                    refusal = {"status": {"error": str(error)}}
                    return self._send(409, json.dumps(refusal).encode())
            if hasattr(result, "model_dump"):
                result = result.model_dump(mode="json")
            elif isinstance(result, list):
                result = [item.model_dump(mode="json") for item in result]
            answer = {"result": result, "status": "ok", "time": 0.0}
            return self._send(200, json.dumps(answer).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
