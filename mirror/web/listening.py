"""Listening on an address of the settings."""

import ssl

from aiohttp import web

from keys.errors import StateError
from mirror.address import Address

BACKLOG = 1024


async def listen(
    runner: web.AppRunner, where: str, what: str, *, ssl_context: ssl.SSLContext | None = None
) -> str:
    """Listen; return the address, with the port that was taken.

    Raises:
        StateError: the address is taken or not this machine's.

    """
    wanted = Address.parse(where, what)
    site = web.TCPSite(
        runner, wanted.host or None, wanted.port, ssl_context=ssl_context, backlog=BACKLOG
    )
    try:
        await site.start()
    except OSError as exc:
        raise StateError(f"{what}: {where}: {exc.strerror or exc}") from exc
    host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    return f"{host}:{site.port}"
