"""JSON logs on stderr: one object per line, secrets stripped."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import BinaryIO

import msgspec
import structlog

from keys.credentials import Secret, redact_url

MAX_TEXT = 4000  # characters of one value

_encoder = msgspec.json.Encoder(enc_hook=str)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> Mapping[str, object]:
    """Keep secrets, the secret parts of URLs and endless texts out of a line."""
    for key, value in event.items():
        if isinstance(value, Secret):
            event[key] = "***"
        elif isinstance(value, str) and ("://" in value or len(value) > MAX_TEXT):
            event[key] = _redact_text(value)
    return event


def _redact_text(text: str) -> str:
    words = (redact_url(word) if "://" in word else word for word in text[:MAX_TEXT].split(" "))
    return " ".join(words)


def _render(_logger: object, _method: str, event: MutableMapping[str, object]) -> bytes:
    return _encoder.encode(event)


def start(stream: BinaryIO | None = None, *, level: int = logging.INFO) -> None:
    """Send structlog's events and the standard library's records to one stream."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        redact,
    ]
    target = stream or sys.stderr.buffer
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = _Forward()
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").propagate = False
    logging.getLogger("alembic").setLevel(logging.WARNING)


class _Forward(logging.Handler):
    """Hand a record of the standard library on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            exc_info=record.exc_info,
        )
