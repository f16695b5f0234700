"""A small file fetched into memory: metadata, manifests, file lists."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from keys.errors import DigestError, FetchError
from keys.model.release import Pin
from updater.fetch.pace import TooLongError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse


class Small:
    """At most ``max_bytes``; where a pin is known, exactly the pinned bytes."""

    def __init__(self, what: str, *, max_bytes: int, pin: Pin | None = None) -> None:
        self.done = 0
        self.data = b""
        self._what = what
        self._max_bytes = max_bytes
        self._pin = pin

    def headers(self) -> Mapping[str, str]:
        """Ask for the whole."""
        return {}

    def wants(self, status: int) -> bool:
        """Understand no error."""
        del status
        return False

    def take(self, response: "BaseHTTPResponse", pieces: Callable[[int], Iterator[bytes]]) -> None:
        """Take the whole body and check it.

        Raises:
            FetchError: it broke off, or is only a part.
            DigestError: not the pinned bytes.

        """
        if response.status != 200:
            raise FetchError(f"{self._what}: HTTP {response.status} without having asked for it")
        try:
            data = b"".join(pieces(self._pin.length if self._pin else self._max_bytes))
        except TooLongError as exc:
            if self._pin is None:
                raise
            raise DigestError(
                f"{self._what}: more than the {self._pin.length} bytes that were signed"
            ) from exc
        if self._pin is not None and len(data) < self._pin.length:
            raise FetchError(f"{self._what}: broke off after {len(data)} bytes")
        if self._pin is not None and Pin.of(data) != self._pin:
            raise DigestError(f"{self._what}: not the {self._pin.length} bytes that were signed")
        self.data = data
