"""The certificate in force: replaced for new connections, never for open ones."""

import ssl
from pathlib import Path

from keys.errors import SettingsError
from mirror.settings import Tls


class Certificate:
    """A server context whose chain and key can be replaced while it listens."""

    def __init__(self, tls: Tls) -> None:
        """Load a chain and its key.

        Raises:
            SettingsError: as ``load``.

        """
        self._current = load(tls)
        self.context = load(tls)  # the listener's; hands over to the current one
        self.context.sni_callback = self._hand_over

    def take(self, context: ssl.SSLContext) -> None:
        """Use another chain and key from the next handshake on."""
        self._current = context

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _own: object) -> None:
        connection.context = self._current


def load(tls: Tls) -> ssl.SSLContext:
    """Load a chain and its key.

    Raises:
        SettingsError: unreadable, malformed, or the key is another certificate's.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (tls.cert, tls.key):
        if not Path(path).is_file():
            raise SettingsError(f"serve.tls: {path}: no such file")
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or str(exc)
        raise SettingsError(
            f"serve.tls: {tls.cert} and {tls.key}: {reason}",
            hint="both are PEM; the key is the certificate's own and has no passphrase",
        ) from exc
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")
