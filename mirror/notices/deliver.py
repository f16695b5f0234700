"""One message to one of apprise's addresses: a program of its own, which can be ended.

It reads one JSON object from standard input, prints nothing, and ends with 0 when the message was
taken, 1 when it was not, 2 when apprise knows no such address.
"""

import logging
import sys

import msgspec


class Delivery(msgspec.Struct, frozen=True):
    """What to send, and where."""

    url: str
    title: str
    body: str


TAKEN, NOT_TAKEN, UNKNOWN = 0, 1, 2


def deliver(delivery: Delivery) -> int:
    """Send; return the exit code."""
    import apprise  # noqa: PLC0415 - takes long, and the one who asks needs only the words above

    asset = apprise.AppriseAsset(
        app_id="sigmirror",
        app_desc="sigmirror",
        secure_logging=True,
        async_mode=False,
        plugin_paths=[],
    )
    sender = apprise.Apprise(asset=asset)
    if not sender.add(delivery.url):
        return UNKNOWN
    plain = apprise.NotifyFormat.TEXT
    sent = sender.notify(title=delivery.title, body=delivery.body, body_format=plain)
    return TAKEN if sent else NOT_TAKEN


if __name__ == "__main__":
    logging.disable()  # what libraries log of an address may hold its secret
    sys.exit(deliver(msgspec.json.decode(sys.stdin.buffer.read(), type=Delivery)))
