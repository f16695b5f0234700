"""Where a vendor is and how to get in: one origin that is shown the credential."""

import ssl
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from yarl import URL

from keys.credentials import redact_url
from keys.errors import SettingsError, UsageError
from mirror.feed_rules import is_loopback
from mirror.feeds import UpstreamSettings
from mirror.upstream.auth import ANONYMOUS, Auth
from mirror.upstream.redaction import Redactor


@dataclass(frozen=True, slots=True)
class Access:
    """One vendor's address, the credential shown there, and whom to trust about TLS."""

    url: str
    auth: Auth = ANONYMOUS
    ca_file: str = ""
    min_rate_bytes_per_second: int = 256
    user_agent: str = ""

    @classmethod
    def of(cls, settings: UpstreamSettings, auth: Auth) -> Self:
        """Read it from an upstream's settings."""
        return cls(
            settings.url, auth, settings.ca_file, settings.min_rate_bytes_per_second,
            settings.user_agent,
        )  # fmt: skip

    @property
    def agent(self) -> str:
        """How we call ourselves."""
        return self.user_agent or f"sigmirror/{version('sigmirror')}"

    @property
    def redactor(self) -> Redactor:
        """What takes this credential out of text."""
        return Redactor(self.auth.secrets)


def check_address(access: Access) -> URL:
    """Return the vendor's base address if it may be used; it ends in a slash.

    Raises:
        UsageError: not http(s), with a password inside, or a credential that would travel in
            the clear.

    """
    shown = redact_url(access.url)
    try:
        url = URL(access.auth.place(access.url))
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(f"{shown}: not an http or https address")
    if url.user or url.password:
        raise UsageError(
            f"{shown}: holds a user name or password",
            hint="name a licence with username and password_file instead",
        )
    if access.auth and url.scheme == "http" and not is_loopback(url.host):
        raise UsageError(
            f"{shown}: the credential would travel in the clear", hint="use an https address"
        )
    return url / "" if not url.path.endswith("/") else url


def trust(ca_file: str, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
    """Make what a TLS handshake goes by: whom we trust, and the certificate we show.

    Raises:
        SettingsError: a file that cannot be used; the message names its key.

    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as exc:
        raise SettingsError(f"ca_file: {ca_file}: {exc}") from exc
    if certificate is not None:
        try:
            context.load_cert_chain(*certificate, password="")  # never ask a terminal
        except (OSError, ssl.SSLError) as exc:
            raise SettingsError(f"client_cert, client_key: {certificate[0]}: {exc}") from exc
    return context
