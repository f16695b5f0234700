"""What was said between us and a vendor, without a secret: for status, probes and bug reports."""

from dataclasses import dataclass, field

from keys.credentials import redact_url

MAX_EXCHANGES = 10_000
_SHOWN = (
    "content-length", "content-range", "content-type", "etag", "last-modified", "retry-after",
    "licence-ends-on", "licence-tz", "server", "date",
)  # fmt: skip


@dataclass(slots=True)
class Exchange:
    """One request and what came of it."""

    url: str
    authorized: bool
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    received: int = 0
    error: str = ""

    def lines(self) -> list[str]:
        """Write it as text."""
        told = [f"GET {self.url}"]
        told += ["> Authorization: ***"] if self.authorized else []
        told += [f"< {self.status}"] if self.status else []
        told += [f"< {name}: {value}" for name, value in self.headers.items()]
        told += [f"! {self.error}"] if self.error else [f"= {self.received} bytes"]
        return told


@dataclass(slots=True)
class Transcript:
    """Every exchange of one pull, up to ``MAX_EXCHANGES``; the counts go on."""

    exchanges: list[Exchange] = field(default_factory=list)
    requests: int = 0
    received: int = 0

    def begin(self, url: str, *, authorized: bool) -> Exchange:
        """Note a request."""
        exchange = Exchange(redact_url(url), authorized)
        self.requests += 1
        if len(self.exchanges) < MAX_EXCHANGES:
            self.exchanges.append(exchange)
        return exchange

    def count(self, exchange: Exchange, length: int) -> None:
        """Note received bytes."""
        exchange.received += length
        self.received += length

    def text(self) -> str:
        """Write all of it as text."""
        return "\n\n".join("\n".join(exchange.lines()) for exchange in self.exchanges) + "\n"


def shown(headers: dict[str, str]) -> dict[str, str]:
    """Pick the headers that say something and hold no secret."""
    plain = {name.lower(): value for name, value in headers.items()}
    return {name: plain[name][:200] for name in _SHOWN if name in plain}
