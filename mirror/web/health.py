"""``/healthz`` and ``/readyz``. Old definitions alert elsewhere; they never restart a mirror."""

from datetime import datetime

from aiohttp import web

from mirror.web.errors import Refusal
from mirror.web.hot import HotRepository


def healthy() -> web.Response:
    """Answer that the event loop turns."""
    return web.json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})


def ready(site: HotRepository, *, now: datetime) -> web.Response:
    """Answer that the site's timestamp is there and not expired, with or without a channel.

    ``degraded`` says that the store does not answer: what is known of it goes on being served.

    Raises:
        Refusal: 503, it is not.

    """
    snapshot = site.snapshot
    if snapshot is None:
        raise Refusal(503, f"repository {site.name}: {site.problem or 'not there yet'}")
    expires = snapshot.expires["timestamp"]
    if expires <= now:
        raise Refusal(503, f"repository {site.name}: its timestamp expired on {expires:%Y-%m-%d}")
    status = "degraded" if site.unreachable else "ok"
    found = {"status": status, "timestamp": snapshot.version, "expires": expires.isoformat()}
    return web.json_response(found, headers={"Cache-Control": "no-store"})
