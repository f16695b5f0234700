"""What a client is told when it gets nothing: a status, one JSON object, no secret."""

import json
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from keys.errors import Error, MissingError
from keys.model.standing import LicenceState

RETRY_SECONDS = 5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_WORDS = {
    400: "bad-request",
    401: "credential",
    402: "licence",
    404: "not-found",
    405: "method",
    413: "too-large",
    416: "range",
    429: "busy",
    500: "internal",
    503: "unavailable",
}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """Raised by a handler to answer with a status, a message and headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def not_found() -> Refusal:
    """Answer that there is no such object."""
    return Refusal(404, "no such object", {"Cache-Control": "no-cache"})


def uncovered(channel: str, standing: LicenceState | None) -> Refusal:
    """Say up to which day a visitor's licence covers releases, where any is."""
    if standing is None or standing.covered_until is None:
        state = standing.state.value if standing else "none"
        return Refusal(402, f"no licence covers channel {channel} today ({state})")
    until, tz = standing.covered_until.isoformat(), standing.licence.tz
    return Refusal(
        402,
        f"the licence covers releases of channel {channel} up to {until} ({tz})",
        {"Licence-Ends-On": until, "Licence-Tz": tz},
    )


def answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Build the JSON body of an error."""
    body = json.dumps({"error": _WORDS.get(status, "refused"), "message": message})
    given = {"Cache-Control": "no-store", **(headers or {})}
    return web.Response(status=status, text=body, content_type="application/json", headers=given)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer; a traceback goes to the log only."""
    try:
        return await handler(request)
    except ConnectionError:
        raise
    except Refusal as refusal:
        return answer(refusal.status, str(refusal), refusal.headers)
    except web.HTTPException as exc:
        kept = {name: exc.headers[name] for name in ("Allow",) if name in exc.headers}
        return answer(exc.status, exc.reason, kept)
    except Exception as exc:  # noqa: BLE001 - the last catch; what is unexpected is logged whole
        return _failed(request, exc)


def _failed(request: web.Request, exc: Exception) -> web.Response:
    if isinstance(exc, MissingError):
        return answer(404, "no such object", {"Cache-Control": "no-cache"})
    log, later = structlog.get_logger(), {"Retry-After": str(RETRY_SECONDS)}
    if isinstance(exc, TimeoutError):
        log.warning("request-too-long", path=request.path)
        return answer(503, "took too long", later)
    if isinstance(exc, Error):
        log.error("request-failed", path=request.path, cause=str(exc))
        return answer(503, "the store did not answer", later)
    log.error("request-failed", path=request.path, exc_info=exc)
    return answer(500, "internal error")
