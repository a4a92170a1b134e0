"""Images from web addresses: within a time and a size, and never from this machine's own network unless allowed."""

import functools
import ipaddress
import queue
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from gair_search.errors import ImageError

if TYPE_CHECKING:
    import ssl

    import httpcore
    import httpx

_SLICE = 0.25  # seconds between two looks at whether a request is cancelled
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class UrlConfig:
    """What a request for an image may cost, and where it may go.

    Attributes:
        max_bytes: of the answer's body, as sent and unpacked.
        seconds: from the first look-up of the name to the last byte, redirects included.
        allow_private: also fetch from addresses that the internet can't reach: this machine, its network, and
            what is set aside for special uses.
        max_redirects: how many redirects are followed.
    """

    max_bytes: int = 50_000_000
    seconds: float = 20.0
    allow_private: bool = False
    max_redirects: int = 5


AllowUrls: TypeAlias = bool | UrlConfig
"""Whether web addresses are fetched: not at all, within the usual bounds, or within these."""


def url_config(allow_urls: AllowUrls) -> UrlConfig | None:
    """The bounds of fetching; None where nothing is to be fetched."""
    if isinstance(allow_urls, UrlConfig):
        return allow_urls
    return UrlConfig() if allow_urls else None


def is_url(text: str) -> bool:
    """Whether a text is an address that `fetch` can be asked for: it begins with `http://` or `https://`."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def fetch(url: str, config: UrlConfig, cancelled: threading.Event | None = None) -> bytes:
    """The body that an `http://` or `https://` address answers with, redirects followed.

    Each name is looked up once. All its addresses are checked, and the connection goes to one that was checked, so
    that a name that means another machine a moment later leads nowhere. Proxies of the environment are not used.

    Args:
        cancelled: when it is set, the request ends soon, with an error.

    Raises:
        ImageError: the address is refused or can't be reached, its answer isn't 200, or it is too large or too
            slow. The reason names the host, and nothing else of the address.
    """
    import httpcore
    import httpx

    request = _Request(config, time.monotonic() + config.seconds, cancelled or threading.Event())
    host = "the address"
    try:
        target = httpx.URL(url)
        for _ in range(config.max_redirects + 1):
            host = target.host[:100] or host
            _check_target(target)
            body, location = _ask(target, request)
            if location is None:
                return body
            target = target.join(location)
    except _RefusalError as error:
        raise ImageError(f"{host}: {error}") from None
    except httpcore.TimeoutException:
        raise ImageError(f"{host}: it took more than {config.seconds:g} seconds") from None
    except (httpx.InvalidURL, UnicodeError):
        raise ImageError(f"{host}: not a valid address") from None
    except Exception as error:  # whatever a stranger's server provokes
        raise ImageError(f"{host}: can't be fetched: {str(error) or type(error).__name__}") from None
    raise ImageError(f"{host}: more than {config.max_redirects} redirects")


class _RefusalError(Exception):
    """Why a request is not made, or its answer not taken."""


@dataclass(frozen=True)
class _Request:
    """What all connections of one request share: bounds, when it has to be over, and whether it still is wanted."""

    config: UrlConfig
    end: float
    cancelled: threading.Event

    def remaining(self) -> float:
        """Seconds that are left, more than 0.

        Raises:
            httpcore.ReadTimeout: none are left.
        """
        import httpcore

        if self.cancelled.is_set():
            raise _RefusalError("cancelled")
        left = self.end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


def _check_target(target: "httpx.URL") -> None:
    """Refuse an address that is no plain one of the web."""
    if target.scheme not in ("http", "https") or not target.host:
        raise _RefusalError("only http:// and https:// addresses are fetched")
    if target.userinfo:
        raise _RefusalError("an address with a user or password in it is refused")


def _ask(target: "httpx.URL", request: _Request) -> tuple[bytes, str | None]:
    """One request: the body, or where it is redirected to."""
    import httpcore

    host = target.raw_host
    address = httpcore.URL(
        scheme=target.raw_scheme, host=host, port=target.port, target=target.raw_path or b"/"
    )
    headers: dict[str | bytes, str | bytes] = {
        "Host": target.netloc,
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    secure = _trusted_certificates() if target.scheme == "https" else None
    with (
        httpcore.ConnectionPool(ssl_context=secure, network_backend=_checked_backend(request)) as pool,
        pool.stream("GET", address, headers=headers) as response,
    ):
        told = {name.lower(): value.decode("utf-8", "replace") for name, value in response.headers}
        if response.status in _REDIRECTS and b"location" in told:
            return b"", told[b"location"]
        if response.status != 200:
            raise _RefusalError(f"it answered with status {response.status}")
        return _read_body(response, told, request), None


def _read_body(response: "httpcore.Response", told: dict[bytes, str], request: _Request) -> bytes:
    """The whole body, unpacked, within the bounds."""
    most = request.config.max_bytes
    too_large = _RefusalError(f"the image has more than {most:,} bytes")
    if (length := told.get(b"content-length", "")).isdecimal() and int(length[:20]) > most:
        raise too_large
    encoding = told.get(b"content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise _RefusalError(f'its answer is packed as "{encoding[:40]}", though it was asked not to pack it')
    body = bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) > most:
            raise too_large
    if encoding in ("identity", ""):
        return bytes(body)
    unpacking = zlib.decompressobj(31)
    try:
        unpacked = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise _RefusalError("its answer is packed as gzip, and damaged") from error
    if len(unpacked) > most:
        raise too_large
    return unpacked


@functools.cache
def _trusted_certificates() -> "ssl.SSLContext":
    import httpcore

    return httpcore.default_ssl_context()


def _checked_backend(request: _Request) -> "httpcore.NetworkBackend":
    """What opens a pool's connections: to addresses that were checked, and for the time that is left.

    A function, since httpcore and its classes are loaded on first use.
    """
    import httpcore

    class CheckedBackend(httpcore.NetworkBackend):
        def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.NetworkStream:
            failure: Exception = httpcore.ConnectError("the name has no address")
            for address in _resolve(host, port, request):
                try:
                    opened = httpcore.SyncBackend().connect_tcp(address, port, request.remaining())
                    return TimedStream(opened)
                except httpcore.NetworkError as error:
                    failure = error
            raise failure

    class TimedStream(httpcore.NetworkStream):
        """A connection whose every read and write ends when the whole request has to be over."""

        def __init__(self, stream: httpcore.NetworkStream) -> None:
            self.stream = stream

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            while True:
                try:
                    return self.stream.read(max_bytes, min(_SLICE, request.remaining()))
                except httpcore.ReadTimeout:
                    request.remaining()

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self.stream.write(buffer, request.remaining())

        def start_tls(
            self,
            ssl_context: "ssl.SSLContext",
            server_hostname: str | None = None,
            timeout: float | None = None,
        ) -> httpcore.NetworkStream:
            return TimedStream(self.stream.start_tls(ssl_context, server_hostname, request.remaining()))

        def close(self) -> None:
            self.stream.close()

        def get_extra_info(self, info: str) -> Any:
            return self.stream.get_extra_info(info)

    return CheckedBackend()


def _resolve(host: str, port: int, request: _Request) -> list[str]:
    """The addresses of a host, every one of which may be asked.

    The look-up has no time limit of its own, so it runs in a thread that is left behind when time is over.
    """
    answers: queue.Queue[list[str] | OSError | UnicodeError] = queue.Queue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(address[0]) for *_, address in found])
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    while True:
        try:
            answer = answers.get(timeout=min(_SLICE, request.remaining()))
            break
        except queue.Empty:
            request.remaining()
    if not isinstance(answer, list):
        raise _RefusalError("there is no such host, or its name can't be looked up")
    if not request.config.allow_private and not all(map(is_public_address, answer)):
        raise _RefusalError(
            "it is an address of this machine, of a private network or of a special use; such images are fetched "
            "with UrlConfig(allow_private=True) alone"
        )
    return list(dict.fromkeys(answer))


def is_public_address(address: str) -> bool:
    """Whether an IP address is one machine of the public internet; an IPv4 address inside an IPv6 one counts itself.

    Raises:
        ValueError: it is no IP address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public_address(str(inner))
        if ip.scope_id is not None or ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
