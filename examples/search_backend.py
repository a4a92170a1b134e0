"""gair-search inside a search backend: one engine for all threads, behind a small JSON endpoint.

    python examples/search_backend.py GALLERY_FOLDER [PORT]
    curl 'http://127.0.0.1:8000/search?q=a+(red:1.5)+dress&k=5&where=width>=500'

An embedded gallery belongs to one process, and its threads may share it; for several processes give
`Engine.open(url=...)` the address of a Qdrant server.
"""

import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from gair_search import Engine, GairError


def make_server(engine: Engine, port: int) -> ThreadingHTTPServer:
    """A server on the loopback interface that answers `/search?q=PROMPT&k=N&where=EXPR`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            if parts.path != "/search" or "q" not in asked:
                return self.answer(HTTPStatus.NOT_FOUND, {"error": "ask for /search?q=PROMPT"})
            try:
                hits = engine.search(asked["q"], int(asked.get("k", 10)), where=asked.get("where"))
            except (GairError, ValueError) as error:  # the user's words, not our fault
                return self.answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
            return self.answer(HTTPStatus.OK, {"hits": [hit.to_json() for hit in hits]})

        def answer(self, status: HTTPStatus, content: dict[str, object]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    with Engine.open(db=sys.argv[1]) as engine:
        server = make_server(engine, int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
        print(f"serving {engine.status()['images']} images on http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    main()
