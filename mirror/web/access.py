"""Who sent a request: the client's address, its credential, and whether it is let in."""

import asyncio
import base64
import binascii
import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from aiohttp import web

from keys.credentials import Credential, Secret
from keys.errors import CredentialError, LimitError
from keys.model.release import Redistribution
from mirror.fleet.doors import Door, Visitor
from mirror.fleet.sharing import admits
from mirror.fleet.throttle import Throttle
from mirror.web.errors import RETRY_SECONDS, Refusal

CHALLENGE = 'Basic realm="sigmirror", charset="UTF-8"'
MAX_CREDENTIAL_CHARACTERS = 4096
MAX_FORWARDED_HOPS = 20

VISITOR = web.RequestKey("visitor", str)
ADDRESS = web.RequestKey("address", str)

_FORWARDING = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """The proxies in front of this mirror, by their networks."""

    def __init__(self, trusted: Sequence[str], *, required: bool) -> None:
        self._networks = tuple(ipaddress.ip_network(name, strict=False) for name in trusted)
        self._required = required  # TLS ends there: nobody may come around them

    def client(self, peer: str, forwarded: str) -> str:
        """Tell the client's address: the last one that no trusted proxy has.

        Raises:
            Refusal: the request did not come through a trusted proxy, though it must.

        """
        if not self._trusts(peer):
            if self._required:
                raise Refusal(400, "this listener is reached through its proxy only")
            return peer
        for hop in reversed(forwarded.split(",")[-MAX_FORWARDED_HOPS:]):
            address = hop.strip()
            if address and not self._trusts(address):
                return address
        return peer

    def is_here(self, peer: str, headers: Mapping[str, str]) -> bool:
        """Tell whether a request comes straight from this machine, through no proxy.

        A proxy may stand on this machine, too: what it passes on is never this machine's own.
        """
        if any(name in headers for name in _FORWARDING) or self._trusts(peer):
            return False
        address = _address(peer)
        return address is not None and address.is_loopback

    def _trusts(self, address: str) -> bool:
        if not self._networks:
            return False
        found = _address(address)
        return found is not None and any(found in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class Gate:
    """Lets visitors in through a door, and slows down who guesses."""

    def __init__(self, door: Door, throttle: Throttle, proxies: Proxies) -> None:
        self.door = door
        self._throttle = throttle
        self._proxies = proxies

    def with_door(self, door: Door) -> "Gate":
        """Put another door in its place; who has to wait still has to."""
        return Gate(door, self._throttle, self._proxies)

    def address(self, request: web.Request) -> str:
        """Tell the client's address.

        Raises:
            Refusal: the request came around the proxy it must come through.

        """
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        request[ADDRESS] = self._proxies.client(request.remote or "", forwarded)
        return str(request[ADDRESS])

    async def admit(self, request: web.Request, *, now: datetime) -> Visitor:
        """Tell who asks.

        Raises:
            Refusal: 401 without a right credential, 429 for who guesses or while many log in.

        """
        address = self.address(request)
        credential = basic(request.headers.get("Authorization", ""))
        client = (address, credential.username if credential else "")
        request[VISITOR] = client[1]
        moment = asyncio.get_running_loop().time()
        if seconds := self._throttle.wait(client, now=moment):
            raise _busy("too many failed logins", seconds)
        try:
            visitor = await self.door.admit(credential, now=now)
        except CredentialError as exc:
            if credential is not None:
                self._throttle.failed(client, now=moment)
            raise Refusal(401, str(exc), {"WWW-Authenticate": CHALLENGE}) from exc
        except LimitError as exc:
            raise _busy("too many logins at once", RETRY_SECONDS) from exc
        is_here = self._proxies.is_here(request.remote or "", request.headers)
        return replace(visitor, is_here=True) if is_here else visitor


def check_shared(visitor: Visitor, word: Redistribution, channel: str) -> None:
    """Let a visitor have what a channel's release, or the settings, say this word of.

    Raises:
        Refusal: 401 where a credential would help; 402 where nothing does: clients neither ask
            for another password nor stay away, and a cascading mirror goes on without it.

    """
    if admits(word, visitor):
        return
    if word == "none":
        raise Refusal(402, f"channel {channel} may not be passed on (redistribution = none)")
    raise Refusal(
        401,
        f"channel {channel} is for this mirror's own hosts (redistribution = {word}): "
        "a credential is needed",
        {"WWW-Authenticate": CHALLENGE},
    )


def _busy(message: str, seconds: float) -> Refusal:
    return Refusal(429, message, {"Retry-After": str(math.ceil(seconds))})


def basic(header: str) -> Credential | None:
    """Read an ``Authorization`` header (RFC 7617); None when it is no basic credential."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > MAX_CREDENTIAL_CHARACTERS:
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    username, colon, password = pair.partition(":")
    return Credential(username, Secret(password)) if colon and username else None
