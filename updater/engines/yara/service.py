r"""A scanner's socket: clamd's protocol, one request on each connection, everything limited.

PING answers PONG, VERSION yara-x's version and the generation, RELOAD answers RELOADING, INSTREAM
the names of all rules that matched: ``stream: NAME,NAME FOUND``, or ``stream: OK``. A command is
``zNAME\0`` or ``nNAME\n``; the answer ends as the command did.
"""

import contextlib
import socket
import socketserver
import struct
import threading
from pathlib import Path
from typing import Any, Protocol, Self

from keys.errors import UnprovenError, UsageError
from updater.engines.instream import Address
from updater.engines.yara import compiled
from updater.engines.yara.matches import Match, names

MAX_STREAM_BYTES = 100 << 20
MAX_COMMAND_BYTES = 64
MAX_CONNECTIONS = 64
CONNECTION_TIMEOUT_SECONDS = 30.0
SOCKET_MODE = 0o666  # as clamd's: whoever may reach its folder may have something scanned
_ENDS = {b"z": b"\0", b"n": b"\n"}


class Scanner(Protocol):
    """What answers the requests."""

    @property
    def generation(self) -> str:
        """Name what scans now."""
        ...

    def reload(self) -> None:
        """Look for something newer; return at once."""
        ...

    def scan(self, data: bytes) -> tuple[Match, ...]:
        """Scan bytes.

        Raises:
            UnprovenError: it cannot now.

        """
        ...


class Service:
    """Listens while it is entered; requests under way are answered when it is left."""

    def __init__(self, scanner: Scanner, address: str) -> None:
        self._address = Address.parse(address)
        self._scanner = scanner
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to listen.

        Raises:
            UsageError: the address is in use or cannot be bound.

        """
        self._server = _listen(self._address, self._scanner)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="probe-socket", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        if self._address.path:
            Path(self._address.path).unlink(missing_ok=True)


def _listen(address: Address, scanner: Scanner) -> "_Server":
    path = Path(address.path)
    try:
        if address.path:
            _clear_dead(path)
        server = _Server(address, scanner)
        if address.path:
            path.chmod(SOCKET_MODE)
    except OSError as exc:
        raise UsageError(f"socket {address}: {exc.strerror or exc}") from exc
    return server


def _clear_dead(path: Path) -> None:
    """Remove a socket nobody listens on; leave one that somebody does."""
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.settimeout(1.0)
            knock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise UsageError(f"socket {path}: {exc.strerror or exc}") from exc
        else:
            raise UsageError(f"socket {path}: another scanner listens on it")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread for each connection, at most ``MAX_CONNECTIONS``."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: Address, scanner: Scanner) -> None:
        self.scanner = scanner
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._connections: set[socket.socket] = set()
        if address.path:
            self.address_family = socket.AF_UNIX
        elif ":" in address.host:
            self.address_family = socket.AF_INET6
        place: Any = address.path or (address.host, address.port)  # a path is not typed there
        super().__init__(place, _Request)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own signature
        """Wait for room, then answer in a thread."""
        self._room.acquire()
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as above
        """Close a connection and make room for another."""
        self._connections.discard(request)
        super().shutdown_request(request)
        self._room.release()

    def hang_up(self) -> None:
        """Hear no more requests; those heard whole are still answered."""
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)


class _Request(socketserver.StreamRequestHandler):
    """One request and its answer."""

    timeout = CONNECTION_TIMEOUT_SECONDS
    server: _Server

    def handle(self) -> None:
        """Answer; a client that goes away or says nothing is no trouble of ours."""
        with contextlib.suppress(OSError):
            command, end = self._command()
            if command:
                self.wfile.write(self._answer(command).encode() + end)

    def _command(self) -> tuple[str, bytes]:
        """Read a command and what ends it; "" for what is none."""
        end = _ENDS.get(self.rfile.read(1), b"")
        name = b""
        while end and len(name) < MAX_COMMAND_BYTES:
            byte = self.rfile.read(1)
            if byte in {end, b""}:
                break
            name += byte
        return name.decode("ascii", "replace"), end

    def _answer(self, command: str) -> str:
        scanner = self.server.scanner
        match command:
            case "PING":
                return "PONG"
            case "VERSION":
                return f"yara-x {compiled.version()}/{scanner.generation}"
            case "RELOAD":
                scanner.reload()
                return "RELOADING"
            case "INSTREAM":
                return self._scan(scanner)
            case _:
                return "UNKNOWN COMMAND"

    def _scan(self, scanner: Scanner) -> str:
        data = self._stream()
        if data is None:
            return "INSTREAM size limit exceeded. ERROR"
        try:
            matches = scanner.scan(data)
        except UnprovenError as exc:
            return f"stream: {exc} ERROR"
        return f"stream: {names(matches)} FOUND" if matches else "stream: OK"

    def _stream(self) -> bytes | None:
        """Read chunks up to the empty one; None where they are too much.

        Raises:
            ConnectionError: the client stopped in between.

        """
        data = bytearray()
        while length := struct.unpack("!I", self._exactly(4))[0]:
            if length > MAX_STREAM_BYTES - len(data):
                return None
            data += self._exactly(length)
        return bytes(data)

    def _exactly(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) != length:
            raise ConnectionError("the client stopped in between")
        return data
