"""Addresses to listen on, as they stand in the settings."""

import ipaddress
from dataclasses import dataclass

from keys.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, what: str) -> "Address":
        """Read ``HOST:PORT`` or ``[IPV6]:PORT``.

        Raises:
            SettingsError: it is neither; the message names ``what``.

        """
        host, colon, port = text.rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host) != ("[" in text):
            raise SettingsError(f"{what}: {text!r}: not an address", hint='write "127.0.0.1:8480"')
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
