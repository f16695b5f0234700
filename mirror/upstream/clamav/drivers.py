"""What a driver does: it keeps a working folder up to date that nobody believes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from keys.credentials import Credential, redact_url
from keys.errors import FetchError
from mirror.feeds import UpstreamSettings
from mirror.upstream import answers
from mirror.upstream.access import Access
from mirror.upstream.base import Pull
from mirror.upstream.clamav.layout import RECORD_FIELDS, read_record
from mirror.upstream.clamav.working import Working
from mirror.upstream.client import Answer
from mirror.upstream.transcript import Transcript
from mirror.upstream.txt import Resolver, ask_txt

_SENT_AWAY = {401, 402, 403, 429, 503}


@dataclass(frozen=True, slots=True)
class Advertised:
    """What is said to be there, unproven: versions by database, and who said so.

    A database without a version here is one whose version only a fetch tells. ``note`` says what
    was asked in vain.
    """

    versions: Mapping[str, int]
    address: str
    status: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every driver is built from."""

    settings: UpstreamSettings
    access: Access
    credential: Credential | None
    working: Working
    resolver: Resolver
    transcript: Transcript

    @property
    def base(self) -> str:
        """The mirror's address, without a slash at its end."""
        return self.access.url.rstrip("/")

    @property
    def shown(self) -> str:
        """The mirror's address as anybody may read it."""
        return redact_url(self.base)

    def judge(self, answer: Answer) -> None:
        """Accept an answer that does not send us away: no refusal, no cool-down.

        Raises:
            CredentialError, LicenceEndedError, BusyError: it does.

        """
        if answer.status in _SENT_AWAY:
            answers.check_feed(
                answer.status, answer.headers, answer.address,
                credentialed=answer.credentialed, missing_means_blocked=False,
            )  # fmt: skip

    def note(self, url: str, status: int, length: int, *, retry_after: str, pull: Pull) -> None:
        """Take what a program was answered into the transcript, and mind what it means.

        Raises:
            CredentialError, LicenceEndedError, BusyError: as ``judge``.

        """
        exchange = self.transcript.begin(url)
        exchange.status = status
        self.transcript.count(exchange, length)
        if length:
            pull.on_bytes(length)
        headers = {"Retry-After": retry_after}
        self.judge(Answer(status, headers, exchange.url, bool(self.access.auth)))


class Driver(Protocol):
    """One way to bring databases into the working folder; what it brings is nobody's word yet."""

    lacks: tuple[str, ...]

    async def advertised(self) -> Advertised:
        """Ask what there is, as cheaply as it can be asked; the folder stays as it is.

        Raises:
            BusyError: the vendor wants us to stay away.
            CredentialError, FetchError: no answer.

        """
        ...

    async def bring(self, advertised: Advertised, pull: Pull) -> None:
        """Bring the folder up to date, or as far as the vendor delivers.

        Raises:
            TrustError: what is offered is older than what is held, or no database.
            BusyError, CredentialError, FetchError, LimitError: it did not come.
            SettingsError, HostError, StateError: it cannot be done here.

        """
        ...


async def ask_record(around: Surroundings) -> dict[str, int]:
    """Return the versions the TXT record of the settings tells.

    Raises:
        FetchError: no answer, or one that does not tell of a database it should.

    """
    settings = around.settings
    exchange = around.transcript.begin(settings.dns, method="TXT")
    text = await ask_txt(settings.dns, around.resolver)
    around.transcript.count(exchange, len(text))
    found = read_record(text, settings.databases)
    for name in settings.databases:
        if name in RECORD_FIELDS and name not in found:
            raise FetchError(f"dns: {settings.dns}: tells no version of {name}")
    return found
