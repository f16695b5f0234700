"""A relay between a host and its mirror that counts every byte of HTTP, both ways."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE_BYTES = 64 << 10


@dataclass
class Relay:
    """Bytes sent by clients and answered by the server, headers included, TCP and IP not."""

    host: str
    port: int
    url: str = ""
    sent: int = 0
    received: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        """All bytes, both ways."""
        return self.sent + self.received

    def reset(self) -> None:
        """Count from zero."""
        with self._lock:
            self.sent = self.received = 0

    def join(self, client: socket.socket) -> None:
        """Carry one connection until both sides have ended it."""
        with client, socket.create_connection((self.host, self.port)) as server:
            back = threading.Thread(target=self._carry, args=(server, client, "received"))
            back.start()
            self._carry(client, server, "sent")
            back.join()

    def _carry(self, source: socket.socket, target: socket.socket, counter: str) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                with self._lock:
                    setattr(self, counter, getattr(self, counter) + len(piece))
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def relaying(host: str, port: int) -> Iterator[Relay]:
    """Relay to a server until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(host, port, f"http://127.0.0.1:{listener.getsockname()[1]}")
        accepting = threading.Thread(target=_accept, args=(listener, relay), daemon=True)
        accepting.start()
        try:
            yield relay
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, relay: Relay) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=relay.join, args=(client,), daemon=True).start()
