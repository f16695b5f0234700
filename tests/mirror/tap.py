"""A proxy before an object store that can be turned off and on, or frozen after some requests."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Tap:
    """Everything that goes to a server goes through it; turned off, connections are refused."""

    server: tuple[str, int]
    port: int = 0
    requests: int = 0
    freeze_at: int = 0  # requests after which nothing passes any more; 0: never
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Tap"]:
        self.on()
        try:
            yield self
        finally:
            self.off()

    def on(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def off(self) -> None:
        """Refuse connections, and cut those there are."""
        assert self._listener
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    def freeze(self, *, after: int) -> None:
        self.freeze_at = self.requests + after

    def thaw(self) -> None:
        """Let requests pass again; connections on which something was lost are cut."""
        self.freeze_at = 0
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    @property
    def is_frozen(self) -> bool:
        return bool(self.freeze_at) and self.requests > self.freeze_at

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self.server) as server:
            with self._lock:
                self._open |= {client, server}
            up = threading.Thread(target=self._carry, args=(client, server, True), daemon=True)
            up.start()
            self._carry(server, client, False)
            up.join()
            with self._lock:
                self._open -= {client, server}

    def _carry(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_client and data.startswith((b"GET ", b"HEAD ", b"PUT ", b"POST ")):
                    self.requests += 1
                if self.is_frozen:
                    continue  # swallowed: the other side waits
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
