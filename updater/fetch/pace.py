"""Time and speed of a run: its deadline, the slowest and the fastest it may go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from keys.errors import FetchError, LimitError
from updater.settings import Limits

READ_BYTES = 1 << 20
SLICES_PER_SECOND = 8  # with a bandwidth limit, so that no second holds one great burst


class TooLongError(LimitError):
    """A body does not end where it should."""


class Body(Protocol):
    """The part of an HTTP response that is read here."""

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Return what has come, at most ``amt`` bytes; empty at the end."""
        ...


@dataclass(slots=True)
class Traffic:
    """What a run cost: requests sent, bytes of bodies received."""

    requests: int = 0
    bytes_received: int = 0


class Pace:
    """The clock of one run; every body is read through it."""

    def __init__(
        self,
        limits: Limits,
        traffic: Traffic,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._limits = limits
        self._traffic = traffic
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock() + limits.max_run_seconds

    def check(self, what: str) -> None:
        """Refuse to go on after the deadline.

        Raises:
            LimitError: the run has taken longer than ``max_run_seconds``.

        """
        if self._clock() >= self._deadline:
            raise LimitError(f"{what}: max_run_seconds={self._limits.max_run_seconds} have passed")

    def wait(self, seconds: float, what: str) -> None:
        """Sleep, unless that would outlast the deadline.

        Raises:
            LimitError: it would.

        """
        if self._clock() + seconds >= self._deadline:
            raise LimitError(
                f"{what}: waiting {seconds:.0f} s would outlast "
                f"max_run_seconds={self._limits.max_run_seconds}"
            )
        self._sleep(seconds)

    def pieces(self, body: Body, what: str, *, max_bytes: int) -> Iterator[bytes]:
        """Yield a body as it comes.

        Raises:
            TooLongError: more than ``max_bytes``.
            LimitError: the deadline has passed.
            FetchError: slower than ``min_rate_bytes_per_second``.

        """
        started = window = self._clock()
        received = in_window = 0
        while piece := body.read1(self._slice(), decode_content=False):
            received += len(piece)
            in_window += len(piece)
            self._traffic.bytes_received += len(piece)
            if received > max_bytes:
                raise TooLongError(f"{what}: more than the {max_bytes} bytes there may be")
            yield piece
            self.check(what)
            self._brake(received, started, what)
            if self._clock() - window >= self._limits.read_timeout_seconds:
                self._check_rate(in_window, self._clock() - window, what)
                window, in_window = self._clock(), 0

    def _slice(self) -> int:
        limit = self._limits.max_bytes_per_second
        return max(1, min(READ_BYTES, limit // SLICES_PER_SECOND)) if limit else READ_BYTES

    def _brake(self, received: int, started: float, what: str) -> None:
        if limit := self._limits.max_bytes_per_second:
            ahead = received / limit - (self._clock() - started)
            if ahead > 0:
                self.wait(ahead, what)

    def _check_rate(self, received: int, seconds: float, what: str) -> None:
        least = self._limits.min_rate_bytes_per_second
        if received < least * seconds:
            raise FetchError(
                f"{what}: {received} bytes in {seconds:.0f} s, "
                f"less than min_rate_bytes_per_second={least}"
            )
