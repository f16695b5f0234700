"""A vendor's web server on loopback that behaves, until a test tells it not to; and his DNS.

    with StandIn(door=by_query("receipt", TOKEN)) as vendor:
        vendor.put("/lists/a.ndb", DATA, "sha256")          # the file and its sidecars
        vendor.next["/lists/a.ndb"] = [status(503)]         # the next answers, one for each request
        vendor.always["/lists/a.ndb"] = block_page()        # every answer from now on
        …
        vendor.paths, vendor.asked[-1].headers              # what was asked

It answers GET, HEAD and POST (forms), with ETag, Last-Modified, Range and 304. A door says who may
come in; ``tls`` makes it https, with client certificates where the context demands them.
"""

import base64
import contextlib
import gzip
import hashlib
import io
import socket
import ssl
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.loopback import Quiet, Server, running
from tests.mirror.certificates import certificate

MODIFIED = datetime(2026, 3, 1, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str  # path and query as they were sent
    headers: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


Door = Callable[[Asked], "str | int"]
"""The path of the file somebody may have, or the status that he is refused with."""

Answer = Callable[["Handler", bytes | None], None]
"""One answer; it is handed the bytes of the file that was asked for, if there is one."""


class Handler(Quiet, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        form = dict(parse_qsl(self.rfile.read(length).decode()))
        self.asked = Asked(self.command, self.path, dict(self.headers.items()), form)
        with contextlib.suppress(OSError):  # who asked has gone
            self.server.owner.answer(self)

    do_HEAD = do_POST = do_GET  # noqa: N815 - the names http.server calls

    def send(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer; for HEAD without the body. No length where ``headers`` state one."""
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(Server):
    owner: "StandIn"


def everybody(asked: Asked) -> str | int:
    return asked.path


@dataclass
class StandIn:
    """See the module; ``head`` False: HEAD is answered with 405, as some scripts do."""

    door: Door = everybody
    files: dict[str, bytes] = field(default_factory=dict)
    modified: dict[str, datetime] = field(default_factory=dict)
    next: dict[str, list[Answer]] = field(default_factory=dict)
    always: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0  # bytes of bodies
    etags: bool = True
    dates: bool = True
    head: bool = True
    ranges: bool = True
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._server = _Server(Handler)
        self._server.owner = self
        if self.tls:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._running = running(self._server)
        self._running.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._running.__exit__(None, None, None)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def bodies(self, path: str) -> int:
        """Count the requests for a file that were no mere questions."""
        return sum(one.path == path and one.method != "HEAD" for one in self.asked)

    def put(self, path: str, data: bytes, *sidecars: str, modified: datetime = MODIFIED) -> None:
        """Offer a file, and beside it sidecars of these kinds (sha512, sha256, md5)."""
        self.files[path], self.modified[path] = data, modified
        for kind in sidecars:
            digest = hashlib.new(kind, data, usedforsecurity=False).hexdigest()
            self.files[f"{path}.{kind}"] = f"{digest}  {path.rpartition('/')[2]}\n".encode()

    def answer(self, handler: Handler) -> None:
        self.asked.append(handler.asked)
        admitted = self.door(handler.asked)
        if isinstance(admitted, int):
            handler.send(admitted, b"no\n", {})
            return
        data = self.files.get(admitted)
        waiting = self.next.get(admitted)
        if waiting:
            waiting.pop(0)(handler, data)
        elif admitted in self.always:
            self.always[admitted](handler, data)
        else:
            self.deliver(handler, admitted, data)

    def deliver(self, handler: Handler, path: str, data: bytes | None) -> None:
        """Answer as a good server does."""
        if data is None:
            return handler.send(404, b"there is no such file\n", {})
        if handler.command == "HEAD" and not self.head:
            return handler.send(405, b"", {})
        headers = self._headers(path, data)
        if _is_known(handler.asked.headers, headers):
            return handler.send(304, b"", headers)
        return self._whole_or_part(handler, data, headers)

    def _headers(self, path: str, data: bytes) -> dict[str, str]:
        at = self.modified.get(path, MODIFIED)
        headers = {"ETag": etag(data)} if self.etags else {}
        return headers | ({"Last-Modified": format_datetime(at, usegmt=True)} if self.dates else {})

    def _whole_or_part(self, handler: Handler, data: bytes, headers: dict[str, str]) -> None:
        wanted = handler.asked.headers.get("Range", "")
        fits = handler.asked.headers.get("If-Range") in {None, headers.get("ETag")}
        if not (wanted and self.ranges and fits):
            self.sent += len(data) if handler.command != "HEAD" else 0
            return handler.send(200, data, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        if not part:
            return handler.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        end = int(first) + len(part) - 1
        self.sent += len(part)
        shown = {"Content-Range": f"bytes {first}-{end}/{len(data)}"}
        return handler.send(206, part, headers | shown)


def etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'


def _is_known(asked: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    if tag := asked.get("If-None-Match"):
        return tag == headers.get("ETag")
    since, changed = asked.get("If-Modified-Since"), headers.get("Last-Modified")
    if not (since and changed):
        return False
    return parsedate_to_datetime(changed) <= parsedate_to_datetime(since)


def packed(kind: str, members: dict[str, bytes]) -> bytes:
    """Make an archive of plain files."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue())


# Who may come in.


def by_basic(username: str, password: str) -> Door:
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return by_header("Authorization", f"Basic {pair}")


def by_header(name: str, value: str) -> Door:
    return lambda asked: asked.path if asked.headers.get(name) == value else 401


def by_query(name: str, token: str) -> Door:
    return lambda asked: asked.path if asked.query.get(name) == token else 403


def by_form(name: str, token: str) -> Door:
    return lambda asked: asked.path if asked.form.get(name) == token else 403


def by_path(token: str) -> Door:
    """Admit whose path holds the token as a folder; files are put without it."""

    def admit(asked: Asked) -> str | int:
        if token not in asked.path.split("/"):
            return 403
        return "/".join(part for part in asked.path.split("/") if part != token)

    return admit


def server_tls(folder: Path, *, clients: bool = False) -> tuple[ssl.SSLContext, Path]:
    """Make a server's TLS, and the file its clients trust; with ``clients`` they need one too.

    Then ``client.pem`` and ``client.key`` in the folder are a certificate that it takes.
    """
    chain, key = folder / "server.pem", folder / "server.key"
    for path, data in zip((chain, key), certificate(1), strict=True):
        path.write_bytes(data)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    if clients:
        made = certificate(2)
        (folder / "client.pem").write_bytes(made[0])
        (folder / "client.key").write_bytes(made[1])
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "client.pem")
    return context, chain


# Answers of a server that misbehaves.


def status(code: int, body: bytes = b"no\n", **headers: str) -> Answer:
    """Answer with a status; header names are written with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.send(code, body, named)


def body(data: bytes, **headers: str) -> Answer:
    """Answer 200 with other bytes than the file's."""
    return status(200, data, **headers)


BLOCK_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Access denied</title></head>"
    b"<body>Your address has been blocked.</body></html>\n"
)


def block_page(code: int = 200) -> Answer:
    """Answer with a page for people."""
    return status(code, BLOCK_PAGE, Content_Type="text/html")


def redirect(location: str, code: int = 302) -> Answer:
    return status(code, b"", Location=location)


def claims(length: int) -> Answer:
    """State another length than the body has, and hang up after it."""

    def send(handler: Handler, data: bytes | None) -> None:
        handler.send(200, data or b"", {"Content-Length": str(length)})
        handler.hang_up()

    return send


def cut(count: int) -> Answer:
    """Hang up after so many bytes of the body."""

    def send(handler: Handler, data: bytes | None) -> None:
        whole = data or b""
        handler.send(200, whole[:count], {"Content-Length": str(len(whole))})
        handler.hang_up()

    return send


def bomb(megabytes: int = 64) -> Answer:
    """Send a small gzip body that is large, though nobody asked for an encoding."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()
    return body(packed, Content_Encoding="gzip")


def endless(handler: Handler, _: bytes | None) -> None:
    """Send bytes for as long as someone reads them."""
    handler.close_connection = True
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def trickle(handler: Handler, _: bytes | None) -> None:
    """Send a byte now and then, for as long as someone reads them."""
    handler.close_connection = True
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def hang(handler: Handler, _: bytes | None) -> None:
    """Accept the request and never answer; ends when the client goes away."""
    handler.close_connection = True
    handler.connection.settimeout(60)
    handler.connection.recv(1)


# DNS.


@contextlib.contextmanager
def names(records: dict[str, str], *, silent: bool = False) -> Iterator[str]:
    """Serve TXT records on loopback; yield the server's ``address:port``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve_names, args=(sock, records, silent))
        thread.start()
        try:
            yield f"127.0.0.1:{sock.getsockname()[1]}"
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
                stop.sendto(b"", sock.getsockname())
            thread.join()


def _serve_names(sock: socket.socket, records: dict[str, str], silent: bool) -> None:
    while True:
        wire, client = sock.recvfrom(4096)
        if not wire:
            return
        if not silent:
            sock.sendto(_named(wire, records), client)


def _named(wire: bytes, records: dict[str, str]) -> bytes:
    query = dns.message.from_wire(wire)
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    question = query.question[0]
    text = records.get(question.name.to_text(omit_final_dot=True))
    if text is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    else:
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", f'"{text}"'))
    return reply.to_wire()
