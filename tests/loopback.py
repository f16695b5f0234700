"""Loopback: a port for a program, and small HTTP servers of a test's own, gone with the block."""

import contextlib
import functools
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORTS = range(10_000, 32_768)  # below those the kernel gives to whoever connects


def free_port() -> int:
    """Return a port nobody listens on, and no connection takes until a program does."""
    while True:
        port = PORTS[secrets.randbelow(len(PORTS))]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Quiet:
    """For handlers that shall not write of what they are asked."""

    def log_message(self, *_: object) -> None:
        pass


class _Folder(Quiet, SimpleHTTPRequestHandler):
    """Files as they lie."""


class Server(ThreadingHTTPServer):
    """A server that waits for nobody when it is closed."""

    daemon_threads = True

    def __init__(self, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is no error here."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def running(server: Server) -> Iterator[str]:
    """Serve until the block ends; yields ``http://127.0.0.1:PORT``."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def folder_served(folder: Path) -> AbstractContextManager[str]:
    """Serve the files below a folder."""
    return running(Server(functools.partial(_Folder, directory=str(folder))))
