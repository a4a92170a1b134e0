import gzip
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.photos import encoded, picture
from support.web_server import answer, drip, redirect, web_server

from gair_search.errors import ImageError
from gair_search.images import fetching
from gair_search.images.fetching import UrlConfig, fetch, is_public_address

LOCAL = UrlConfig(allow_private=True)
PHOTO = encoded(picture(1))


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Ends what drips when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, list[str]]], list[str]]:
    """Names with the addresses they are said to have, one look-up after the other; gives the look-ups made."""
    real = socket.getaddrinfo

    def give(table: dict[str, list[str]]) -> list[str]:
        asked: list[str] = []

        def look_up(host: str | bytes, *args: object, **options: object):
            host = host.decode() if isinstance(host, bytes) else host
            if host not in table:
                return real(host, *args, **options)
            asked.append(host)
            addresses = table[host]
            if len(addresses) > 1 and addresses[0] == "then":
                addresses = [addresses[min(asked.count(host), len(addresses) - 1)]]
            return [found for address in addresses for found in real(address, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return asked

    return give


def test_a_body_is_fetched_as_it_is() -> None:
    with web_server({"/a.jpg": answer(PHOTO)}) as server:
        assert fetch(server.url("/a.jpg?size=1"), LOCAL) == PHOTO
        (request,) = server.requests
    assert request.startswith("GET /a.jpg?size=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in request
    assert "Accept-Encoding: identity\r\n" in request


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with web_server({"/a.jpg": answer(PHOTO)}) as server:
        assert fetch(server.url("/a.jpg"), LOCAL) == PHOTO


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),  # 93.184.216.34 behind NAT64
        ("2002:5db8:d822::1", True),  # 93.184.216.34 in 6to4
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("::", False),
        ("::1", False),
        ("::7f00:1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::5db8:d822", False),
        ("2002:7f00:1::1", False),
        ("2002:c0a8:101::1", False),
        ("2001:0:5db8:d822::1", False),  # Teredo
        ("2001:db8::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public_address(address) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0", "[::1]"])
def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    with (
        web_server({"/a.jpg": answer(PHOTO)}) as server,
        pytest.raises(ImageError, match="allow_private=True"),
    ):
        fetch(server.url("/a.jpg", host), UrlConfig())
    assert server.requests == []


def test_one_private_address_among_public_ones_is_refused(names) -> None:
    names({"photos.example": ["93.184.216.34", "127.0.0.1"]})
    with pytest.raises(ImageError, match=r"photos\.example: .*private"):
        fetch("http://photos.example/a.jpg", UrlConfig(seconds=2))


def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_asked(names, monkeypatch) -> None:
    """A name that is public when it is checked and this machine a moment later."""
    monkeypatch.setattr(fetching, "is_public_address", lambda address: address == "127.0.0.1")
    with web_server({"/a.jpg": answer(PHOTO)}) as server:
        asked = names({"photos.example": ["then", "127.0.0.1", "127.0.0.2"]})
        assert fetch(server.url("/a.jpg", "photos.example"), UrlConfig()) == PHOTO
        assert asked == ["photos.example"]
        assert f"Host: photos.example:{server.port}\r\n" in server.requests[0]


def test_the_next_address_is_tried_where_one_does_not_answer(names) -> None:
    with web_server({"/a.jpg": answer(PHOTO)}) as server:
        names({"photos.example": ["127.0.0.77", "127.0.0.1"]})  # the server listens at 127.0.0.1 alone
        assert fetch(server.url("/a.jpg", "photos.example"), LOCAL) == PHOTO


def test_redirects_lead_to_other_servers(names) -> None:
    deep = {"/deep/b.jpg": answer(PHOTO), "/deep/a": redirect("b.jpg", "308 Moved")}
    with web_server(deep) as second, web_server({"/a.jpg": redirect(second.url("/deep/a"))}) as first:
        assert fetch(first.url("/a.jpg"), LOCAL) == PHOTO
        assert f"Host: 127.0.0.1:{second.port}\r\n" in second.requests[0]


def test_a_redirect_to_this_machine_is_refused(names, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first host passes for a public one."""
    monkeypatch.setattr(fetching, "is_public_address", lambda a: a == "127.0.0.2" or is_public_address(a))
    names({"photos.example": ["127.0.0.2"]})
    with web_server({"/secret": answer(PHOTO)}) as inner:
        listener = socket.create_server(("127.0.0.2", 0))

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                redirect(inner.url("/secret"))(connection)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(ImageError, match=r"127\.0\.0\.1: .*allow_private"):
            fetch(f"http://photos.example:{listener.getsockname()[1]}/a.jpg", UrlConfig())
        listener.close()
        assert inner.requests == []


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "data:image/png,a"]
)
def test_redirects_lead_to_web_addresses_alone(location: str) -> None:
    with (
        web_server({"/a.jpg": redirect(location)}) as server,
        pytest.raises(ImageError, match=r"only http:// and https:// addresses are fetched"),
    ):
        fetch(server.url("/a.jpg"), LOCAL)


def test_user_and_password_are_refused_in_redirects_too() -> None:
    with web_server({"/b.jpg": answer(PHOTO)}) as server:
        secret = server.url("/b.jpg", "user:hunter2@127.0.0.1")
        server.answers["/a.jpg"] = redirect(secret)
        for url in (secret, server.url("/a.jpg")):
            with pytest.raises(ImageError, match=r"^127\.0\.0\.1: an address with a user or password"):
                fetch(url, LOCAL)


def test_redirects_are_counted() -> None:
    with web_server({}) as server:
        server.answers = {f"/{i}": redirect(f"/{i + 1}") for i in range(3)} | {"/3": answer(PHOTO)}
        assert fetch(server.url("/0"), UrlConfig(allow_private=True, max_redirects=3)) == PHOTO
        with pytest.raises(ImageError, match="more than 2 redirects"):
            fetch(server.url("/0"), UrlConfig(allow_private=True, max_redirects=2))


@pytest.mark.parametrize(
    "status", ["404 Not Found", "500 Oh", "204 No Content", "206 Partial Content", "304 Same"]
)
def test_other_answers_are_refused_with_their_status(status: str) -> None:
    said = re.escape(f"127.0.0.1: it answered with status {status[:3]}")
    with web_server({"/a.jpg": answer(b"", status)}) as server, pytest.raises(ImageError, match=said):
        fetch(server.url("/a.jpg"), LOCAL)


@pytest.mark.parametrize("part", ["header", "body", "nothing"])
def test_a_server_that_drips_is_cut_off(part: str, stop: threading.Event) -> None:
    """Each byte comes well before any time limit on a single read."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    texts = {
        "header": b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 1000,
        "body": head + b"a" * 999,
        "nothing": b"",
    }
    slow = drip(texts[part], 0.01, stop)
    config = UrlConfig(allow_private=True, seconds=0.4)
    with web_server({"/a.jpg": slow, "/b.jpg": redirect("/a.jpg")}) as server:
        for path in ("/a.jpg", "/b.jpg"):
            began = time.monotonic()
            with pytest.raises(ImageError, match=r"more than 0\.4 seconds"):
                fetch(server.url(path), config)
            assert 0.35 < time.monotonic() - began < 1.5


def test_a_slow_answer_within_the_time_is_taken(stop: threading.Event) -> None:
    """Longer than one slice of waiting, so that a wait is taken up again."""
    text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"
    with web_server({"/a.jpg": drip(text[-5:], 0.3, stop)}) as server:
        whole = server.answers["/a.jpg"]

        def write(connection: socket.socket) -> None:
            connection.sendall(text[:-5])
            whole(connection)

        server.answers["/a.jpg"] = write
        assert fetch(server.url("/a.jpg"), LOCAL) == b"ab"


def test_a_slow_look_up_is_cut_off(monkeypatch: pytest.MonkeyPatch, stop: threading.Event) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: stop.wait(20) and [])
    began = time.monotonic()
    with pytest.raises(ImageError, match=r"photos\.example: it took more than 0\.3 seconds"):
        fetch("http://photos.example/a.jpg", UrlConfig(seconds=0.3))
    assert time.monotonic() - began < 1.5


def test_a_request_is_cancelled(stop: threading.Event) -> None:
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with web_server({"/a.jpg": drip(b"", 1, stop)}) as server:
        began = time.monotonic()
        with pytest.raises(ImageError, match="cancelled"):
            fetch(server.url("/a.jpg"), LOCAL, cancelled)
        assert time.monotonic() - began < 2


def test_large_bodies_are_refused() -> None:
    config = UrlConfig(allow_private=True, max_bytes=1000)
    head = b"HTTP/1.1 200 OK\r\n"
    endless = threading.Event()

    def write_endless(connection: socket.socket) -> None:
        connection.sendall(head + b"\r\n")
        try:
            while True:
                connection.sendall(bytes(10_000))
        except OSError:
            endless.set()

    answers = {
        "/fits": answer(bytes(1000)),
        "/told": answer(b"", content_length="1001"),  # none of it ever comes
        "/endless": write_endless,
    }
    with web_server(answers) as server:
        assert fetch(server.url("/fits"), config) == bytes(1000)
        for path in ("/told", "/endless"):
            with pytest.raises(ImageError, match="more than 1,000 bytes"):
                fetch(server.url(path), config)
        assert endless.wait(5)  # the connection was closed


def test_packed_bodies_count_unpacked() -> None:
    config = UrlConfig(allow_private=True, max_bytes=100_000)
    small, bomb = gzip.compress(PHOTO), gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    answers = {
        "/small": answer(small, content_encoding="gzip"),
        "/bomb": answer(bomb, content_encoding="gzip"),
        "/broken": answer(b"no gzip", content_encoding="gzip"),
        "/odd": answer(PHOTO, content_encoding="br"),
    }
    with web_server(answers) as server:
        assert fetch(server.url("/small"), config) == PHOTO
        for path, reason in (("/bomb", "100,000 bytes"), ("/broken", "damaged"), ("/odd", 'packed as "br"')):
            with pytest.raises(ImageError, match=reason):
                fetch(server.url(path), config)


def test_a_body_that_ends_early_is_no_image() -> None:
    answers = {
        "/a.jpg": answer(PHOTO[:50], content_length="60"),
        "/b.jpg": lambda c: c.sendall(b"what?\r\n\r\n"),
    }
    with web_server(answers) as server:
        for path in answers:
            with pytest.raises(ImageError, match=r"127\.0\.0\.1: can't be fetched"):
                fetch(server.url(path), LOCAL)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@127.0.0.1:1/a.jpg",
        "http://user@127.0.0.1:1/a.jpg?key=hunter2",
        "http://127.0.0.1:1/a.jpg?key=hunter2",
        "http://127.0.0.1:hunter2/",
        "http://[oops/hunter2",
        "http:///hunter2",
        "ftp://127.0.0.1/hunter2",
        "http://127.0.0.1\r\nhunter2/",
        "http://" + "a" * 300 + ".example/hunter2",
        "http://a..b/hunter2",
        "http://nowhere.invalid/hunter2",
        "http://xn--/hunter2",
        "https://127.0.0.1:1/hunter2",
    ],
)
def test_failures_are_image_errors_without_secrets(url: str) -> None:
    with pytest.raises(ImageError) as caught:
        fetch(url, UrlConfig(allow_private=True, seconds=5))
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) < 300


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a host's name, signed by itself, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = f"""openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2
        -subj /CN={name} -addext subjectAltName=DNS:{name}"""
    try:
        subprocess.run(
            [*command.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("openssl is not on this machine")
    return certificate, key


def test_certificates_are_checked_against_the_name(names, tmp_path, monkeypatch) -> None:
    certificate, key = make_certificate(tmp_path, "photos.example")
    names({"photos.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(certificate, key)
    asked: list[str | None] = []
    secure.sni_callback = lambda _, name, __: asked.append(name)
    with web_server({"/a.jpg": answer(PHOTO)}, secure) as server:
        with pytest.raises(ImageError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(server.url("/a.jpg", "photos.example", "https"), LOCAL)
        trusting = ssl.create_default_context(cafile=certificate)
        monkeypatch.setattr(fetching, "_trusted_certificates", lambda: trusting)
        assert fetch(server.url("/a.jpg", "photos.example", "https"), LOCAL) == PHOTO
        with pytest.raises(ImageError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(server.url("/a.jpg", "other.example", "https"), LOCAL)
    assert asked == ["photos.example", "photos.example", "other.example"]
