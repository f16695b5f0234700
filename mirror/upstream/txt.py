"""DNS TXT records: what some vendors tell their versions with."""

import asyncio
import ipaddress
from dataclasses import dataclass

import dns.exception
import dns.resolver

from keys.errors import FetchError, SettingsError

MAX_ASK_SECONDS = 10.0
PORT = 53


@dataclass(frozen=True, slots=True)
class Resolver:
    """A DNS server by address; without one, the system's."""

    address: str = ""
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> "Resolver":
        """Read ``address[:port]``; an IPv6 address with a port stands in brackets.

        Raises:
            SettingsError: not of this form.

        """
        if not text:
            return cls()
        address, port = _split(text)
        try:
            ipaddress.ip_address(address)
            return cls(address, _port(port))
        except ValueError as exc:
            raise SettingsError(
                f"resolver: {text!r}: not address[:port]", hint="for example 192.0.2.53:53"
            ) from exc


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        return address if bracket else text, port.removeprefix(":")
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, port
    return text, ""


def _port(text: str) -> int:
    if not text:
        return PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise ValueError(text)
    return int(text)


async def ask_txt(name: str, resolver: Resolver) -> str:
    """Return the first TXT record of a name.

    Raises:
        FetchError: no server answers, or there is no such record.

    """
    return await asyncio.to_thread(_ask, name, resolver)


def _ask(name: str, resolver: Resolver) -> str:
    try:
        asking = dns.resolver.Resolver(configure=not resolver.address)
        if resolver.address:
            asking.nameservers, asking.port = [resolver.address], resolver.port
        answer = asking.resolve(name, "TXT", lifetime=MAX_ASK_SECONDS, search=False)
        return b"".join(answer[0].strings).decode("ascii", "replace")
    except (dns.exception.DNSException, OSError) as exc:
        raise FetchError(f"dns: {name}: {_reason(exc)}", hint="see the setting `resolver`") from exc


def _reason(exc: Exception) -> str:
    if isinstance(exc, dns.resolver.NXDOMAIN | dns.resolver.NoAnswer):
        return "there is no TXT record"
    if isinstance(exc, dns.exception.Timeout):
        return f"no answer within MAX_ASK_SECONDS={MAX_ASK_SECONDS:g}"
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__
