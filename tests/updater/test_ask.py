"""The light way to ask whether anything is new, and when it leaves that to the full client."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keys.errors import MissingError
from tests.tuf_repository import ChannelRepository
from tests.updater.site import Site, served
from tests.updater.test_fetch_tls import certificate
from tests.updater.unruly_server import UnrulyServer
from updater import exchange
from updater.ask import Asker
from updater.settings import Settings


class FullClient:
    """Answers everything, and tells what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, name: str, *, max_bytes: int) -> bytes:
        self.asked.append(f"{name} {max_bytes}")
        return b"from the full client"


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a")) as serving:
        yield serving


def read(settings: Settings, name: str, full: FullClient, *, max_seconds: float = 5) -> bytes:
    asker = Asker(settings, max_seconds=max_seconds)
    try:
        return asker.source("site", lambda: full).read(name, max_bytes=1000)
    finally:
        asker.close()


def test_a_small_file_is_taken(site: Site) -> None:
    full = FullClient()
    data = read(Settings(mirrors=(site.url + "/",)), "timestamp.json", full)
    assert (data, full.asked) == (site.repository.newest("timestamp"), [])


def test_that_there_is_no_newer_root_is_believed(site: Site) -> None:
    with pytest.raises(MissingError):
        read(Settings(mirrors=(site.url,)), "2.root.json", FullClient())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, {}, b""), id="no timestamp"),
        pytest.param((302, {"Location": "http://127.0.0.1:1/"}, b""), id="a redirect"),
        pytest.param((401, {}, b""), id="a refused login"),
        pytest.param((500, {}, b""), id="an error"),
        pytest.param((200, {}, b"x" * 1001), id="more than was asked for"),
        pytest.param((200, {}, b"x" * (exchange.MAX_ANSWER_BYTES + 1)), id="more than is read"),
    ],
)
def test_any_other_answer_is_left_to_the_full_client(
    site: Site, answer: tuple[int, dict[str, str], bytes]
) -> None:
    site.override = lambda _: answer
    full = FullClient()
    data = read(Settings(mirrors=(site.url,)), "timestamp.json", full)
    assert (data, full.asked) == (b"from the full client", ["timestamp.json 1000"])


@pytest.mark.parametrize(
    "mirror",
    ["http://127.0.0.1:1", "https://127.0.0.1:1", "ftp://127.0.0.1", "nonsense", "http://[::1"],
)
def test_a_mirror_that_cannot_be_asked_is_left_to_the_full_client(mirror: str) -> None:
    full = FullClient()
    assert read(Settings(mirrors=(mirror,)), "timestamp.json", full) == b"from the full client"


def test_with_a_proxy_nothing_is_asked_directly(site: Site) -> None:
    settings = Settings(mirrors=(site.url,), proxy="environment")
    assert read(settings, "timestamp.json", FullClient()) == b"from the full client"
    assert site.requests == []


def test_a_credential_never_leaves_over_plain_http(tmp_path: Path) -> None:
    file = tmp_path / "credential"
    file.write_text("host:secret\n")
    settings = Settings(mirrors=("http://192.0.2.1",), credential_file=str(file))
    assert (
        read(settings, "timestamp.json", FullClient(), max_seconds=0.1) == b"from the full client"
    )


def test_an_answer_that_trickles_is_cut_off() -> None:
    with _trickling() as url:
        full = FullClient()
        settings = Settings(mirrors=(url,))
        assert read(settings, "timestamp.json", full, max_seconds=0.3) == b"from the full client"


@contextmanager
def _trickling() -> Iterator[str]:
    """Serve headers without end, one byte at a time."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    while not ended.wait(0.02):
                        connection.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("believed", [True, False], ids=["its authority", "another authority"])
def test_over_tls_only_a_mirror_that_is_proven_is_asked(tmp_path: Path, *, believed: bool) -> None:
    cert, key = certificate(tmp_path)
    other, _ = certificate(tmp_path, address="127.0.0.2")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with UnrulyServer({"/r/site/metadata/timestamp.json": b"asked"}, tls=tls) as server:
        settings = Settings(mirrors=(server.url,), ca_file=str(cert if believed else other))
        data = read(settings, "timestamp.json", FullClient())
    assert data == (b"asked" if believed else b"from the full client")
