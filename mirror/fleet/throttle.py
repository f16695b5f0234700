"""Failed logins of each client, counted in windows of time; memory is bounded."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

MAX_FAILURES = 10  # of one client in one window
WINDOW_SECONDS = 60.0
MAX_CLIENTS = 10_000

Client: TypeAlias = tuple[str, str]
"""An address and the user name tried from there: nobody can lock out somebody else."""


@dataclass(slots=True)
class _Window:
    ends: float
    failures: int = 0


class Throttle:
    """Tells who has to wait; ``now`` is a monotonic time in seconds."""

    def __init__(self) -> None:
        self._windows: OrderedDict[Client, _Window] = OrderedDict()

    def wait(self, client: Client, *, now: float) -> float:
        """Return the seconds a client has to wait before it may try; 0 when it may now."""
        window = self._windows.get(client)
        if window is None or window.ends <= now or window.failures < MAX_FAILURES:
            return 0.0
        return window.ends - now

    def failed(self, client: Client, *, now: float) -> None:
        """Count a failed login."""
        window = self._windows.pop(client, None)
        if window is None or window.ends <= now:
            window = _Window(now + WINDOW_SECONDS)
        window.failures += 1
        self._windows[client] = window
        if len(self._windows) > MAX_CLIENTS:
            self._windows.popitem(last=False)
