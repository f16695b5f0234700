"""Somebody who is told: a mail server and a web hook on loopback."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.loopback import Quiet, Server, running


@dataclass
class MailServer:
    """Keeps what it gets."""

    address: str = ""
    mails: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library calls it so
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(content.decode())
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[MailServer]:
    found = MailServer()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found.address = f"127.0.0.1:{port}"
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield found
    finally:
        controller.stop()


@dataclass
class WebHook:
    """Keeps what is posted to it; answers with ``status``."""

    address: str = ""
    status: int = 200
    posted: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 0


@contextmanager
def web_hook() -> Iterator[WebHook]:
    found = WebHook()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.tries += 1
            if found.status == 200:
                found.posted.append(json.loads(body))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with running(Server(Handler)) as url:
        found.address = url.removeprefix("http://")
        yield found


@contextmanager
def trickling_hook() -> Iterator[str]:
    """Answer each request with one byte after the other, for ever."""
    over = threading.Event()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not over.wait(0.2):
                    self.wfile.write(b".")

    with running(Server(Handler)) as url:
        try:
            yield url.removeprefix("http://")
        finally:
            over.set()
