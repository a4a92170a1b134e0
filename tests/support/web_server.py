"""A web server on the loopback interface that answers as it is told, byte by byte if need be."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[socket.socket], None]
"""Writes an answer to a connection, whose request has been read."""


@dataclass
class WebServer:
    """Its port, what it answers by path, and the requests it got, as text."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> Answer:
    """A whole answer; `content_type="..."` is the header `content-type`."""
    named = {"content-length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return lambda connection: connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


def redirect(location: str, status: str = "302 Found") -> Answer:
    return answer(b"moved", status, location=location)


def drip(text: bytes, pause: float, stop: threading.Event) -> Answer:
    """The text one byte at a time, then nothing; until `stop`."""

    def write(connection: socket.socket) -> None:
        for byte in text:
            connection.sendall(bytes([byte]))
            if stop.wait(pause):
                return
        stop.wait()

    return write


@contextmanager
def web_server(answers: dict[str, Answer], secure: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Run a server on a free port, each connection in a thread, one request a connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = WebServer(listener.getsockname()[1], answers)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            wrapped = secure.wrap_socket(connection, server_side=True) if secure else connection
            with wrapped:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    if not (part := wrapped.recv(65536)):
                        return
                    request += part
                server.requests.append(request.decode())
                path = request.split()[1].decode().partition("?")[0]
                server.answers.get(path, answer(b"", "404 Not Found"))(wrapped)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
