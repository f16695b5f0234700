"""A proxy that cuts the connection at a chosen request, and at every later one unless told."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) /")
Side = Literal["unsent", "unanswered"]


@dataclass
class Cutter:
    """Cut request ``at``, before the server has it or before its answer is told; 0: none."""

    server: tuple[str, int]
    at: int
    side: Side
    once: bool = False
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Hand out the proxy's URL."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)

    def arm(self, at: int) -> None:
        """Begin to count anew."""
        with self._lock:
            self.at, self.requests = at, 0

    @property
    def cut(self) -> bool:
        return 0 < self.at <= self.requests

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self.server)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for pump in (self._up, self._down):
                    arguments = (pump, client, server)
                    threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _carry(
        self,
        pump: Callable[[socket.socket, socket.socket], None],
        client: socket.socket,
        server: socket.socket,
    ) -> None:
        with contextlib.suppress(OSError):
            pump(client, server)
        for side in (client, server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            if pump == self._up:
                continue
            side.close()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(1 << 16):
            if _REQUEST.match(data):
                with self._lock:
                    self.requests += 1
                    number = self.requests
                if self.at and (
                    (number > self.at and not self.once)
                    or (number == self.at and self.side == "unsent")
                ):
                    return
            server.sendall(data)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        while data := server.recv(1 << 16):
            if (
                self.cut
                and not (self.once and self.requests > self.at)
                and not data.startswith(b"HTTP/1.1 100")
            ):
                return
            client.sendall(data)
