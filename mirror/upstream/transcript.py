"""What was said between us and a vendor, without a secret: for status, probes and bug reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mirror.upstream.redaction import Redactor

MAX_EXCHANGES = 10_000
MAX_SHOWN_CHARACTERS = 200  # of one header
_SHOWN = (
    "content-encoding", "content-length", "content-range", "content-type", "etag", "last-modified",
    "location", "retry-after", "licence-ends-on", "licence-tz", "server", "date",
)  # fmt: skip


@dataclass(slots=True)
class Exchange:
    """One request and what came of it; ``credential`` tells what was shown, never its value."""

    url: str
    method: str = "GET"
    credential: tuple[str, ...] = ()
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    received: int = 0
    error: str = ""

    def lines(self) -> list[str]:
        """Write it as text."""
        told = [f"{self.method} {self.url}"]
        told += [f"> {line}" for line in self.credential]
        told += [f"< {self.status}"] if self.status else []
        told += [f"< {name}: {value}" for name, value in self.headers.items()]
        told += [f"! {self.error}"] if self.error else [f"= {self.received} bytes"]
        return told


@dataclass(slots=True)
class Transcript:
    """Every exchange of one pull, up to ``MAX_EXCHANGES``; the counts go on."""

    redactor: Redactor = field(default_factory=Redactor)
    exchanges: list[Exchange] = field(default_factory=list)
    requests: int = 0
    received: int = 0

    def begin(self, url: str, *, method: str = "GET", credential: tuple[str, ...] = ()) -> Exchange:
        """Note a request."""
        exchange = Exchange(self.redactor.text(url), method, credential)
        self.requests += 1
        if len(self.exchanges) < MAX_EXCHANGES:
            self.exchanges.append(exchange)
        return exchange

    def answered(self, exchange: Exchange, status: int, headers: Mapping[str, str]) -> None:
        """Note an answer: of its headers those that say something and hold no secret."""
        plain = {name.lower(): value for name, value in headers.items()}
        exchange.status = status
        exchange.headers = {
            name: self.redactor.text(plain[name])[:MAX_SHOWN_CHARACTERS]
            for name in _SHOWN
            if name in plain
        }

    def count(self, exchange: Exchange, length: int) -> None:
        """Note received bytes."""
        exchange.received += length
        self.received += length

    def text(self) -> str:
        """Write all of it as text."""
        return "\n\n".join("\n".join(exchange.lines()) for exchange in self.exchanges) + "\n"
