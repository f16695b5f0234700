"""Scan requests to a running engine, as a mail gateway sends them (clamd's INSTREAM)."""

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ANSWER_SECONDS = 30.0


def scan(address: Path, data: bytes) -> str:
    """Return the engine's whole answer to one scan request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(address))
        connection.sendall(
            b"zINSTREAM\0" + struct.pack("!I", len(data)) + data + struct.pack("!I", 0)
        )
        answer = b""
        while not answer.endswith(b"\0"):
            part = connection.recv(4096)
            if not part:
                break
            answer += part
    return answer.rstrip(b"\0").decode()


def found(address: Path, data: bytes) -> bool:
    """Tell whether the engine finds something; an answer that is neither is an error."""
    answer = scan(address, data)
    if answer.endswith("FOUND"):
        return True
    if answer.endswith("OK"):
        return False
    raise ConnectionError(f"{address}: {answer!r}")


@dataclass
class Load:
    """Scan one sample again and again until the block ends."""

    address: Path
    data: bytes
    sent: int = 0
    answers: list[bool] = field(default_factory=list)
    slowest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.sent += 1
            start = time.monotonic()
            try:
                self.answers.append(found(self.address, self.data))
            except OSError:
                continue
            finally:
                self.slowest = max(self.slowest, time.monotonic() - start)
            self._stop.wait(0.005)

    @property
    def flips(self) -> tuple[int, int]:
        """How often the answer went from missed to found, and back."""
        pairs = list(zip(self.answers, self.answers[1:], strict=False))
        return pairs.count((False, True)), pairs.count((True, False))
