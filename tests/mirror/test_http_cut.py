"""Downloads from plain web servers that are cut off go on where they stopped."""

from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path

import pytest

from mirror.upstream.bodies import MAX_RESUMPTIONS
from tests.mirror.feeding import Feeding
from tests.mirror.stand_in import MODIFIED, Answer, Handler, StandIn, etag, status

PIECE = 4096
RULES = b"".join(b"rule r%03d { condition: false }\n" % number for number in range(900))
OTHER = RULES.replace(b"false", b"true ")


@pytest.fixture
def feeding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Feeding:
    return Feeding(tmp_path, capsys)


@pytest.fixture
def vendor(feeding: Feeding) -> Iterator[StandIn]:
    with StandIn() as stand_in:
        stand_in.put("/a.yar", RULES)
        feeding.feed(url=f"{stand_in.url}/a.yar", allow_unsigned=True, version="last-modified")
        yield stand_in


def breaks_off(vendor: StandIn, after: int, *, tag: str = "") -> Answer:
    """Serve the file or a part of it, but never more than so many bytes at once."""

    def send(handler: Handler, data: bytes | None) -> None:
        whole = data or b""
        known = tag or etag(whole)
        first = 0
        if vendor.ranges and handler.asked.headers.get("If-Range") == known:
            first = int(handler.asked.headers["Range"].removeprefix("bytes=").rstrip("-"))
        headers = {
            "Content-Length": str(len(whole) - first),
            "Last-Modified": format_datetime(MODIFIED, usegmt=True),
        }
        if vendor.etags:
            headers["ETag"] = known
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(whole) - 1}/{len(whole)}"
        sent = whole[first : first + after]
        vendor.sent += len(sent)
        handler.send(206 if first else 200, sent, headers)
        if first + after < len(whole):
            handler.hang_up()

    return send


def files(vendor: StandIn, *answers: Answer) -> None:
    """Answer so when the file itself is asked for; after the last of them, properly."""
    script = list(answers)

    def send(handler: Handler, data: bytes | None) -> None:
        if handler.command == "HEAD" or not script:
            return vendor.deliver(handler, "/a.yar", data)
        return script.pop(0)(handler, data)

    vendor.always["/a.yar"] = send


def failed(feeding: Feeding) -> str:
    """Pull what must fail; return what is told."""
    done = feeding.pull()
    assert done.code == 1, done.out
    return done.err


def firsts(vendor: StandIn) -> list[int]:
    """Tell from which byte on each request wanted the file."""
    gets = (one for one in vendor.asked if one.method == "GET")
    asked = (one.headers.get("Range", "bytes=0-") for one in gets)
    return [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in asked]


def test_only_what_lacks_is_sent_again(feeding: Feeding, vendor: StandIn) -> None:
    piece = len(RULES) // MAX_RESUMPTIONS
    files(vendor, *[breaks_off(vendor, piece)] * 9)
    feeding.published()
    assert feeding.contents() == {"a.yar": RULES}
    assert vendor.sent == len(RULES)
    assert firsts(vendor) == list(range(0, len(RULES), piece))


def test_what_changed_meanwhile_comes_from_its_beginning(feeding: Feeding, vendor: StandIn) -> None:
    cut = breaks_off(vendor, PIECE)

    def cut_and_replace(handler: Handler, data: bytes | None) -> None:
        cut(handler, data)
        vendor.files["/a.yar"] = OTHER

    files(vendor, cut_and_replace)
    feeding.published()
    assert feeding.contents() == {"a.yar": OTHER}
    assert firsts(vendor) == [0, PIECE], "the old rest was asked for, the new whole was sent"


def test_a_server_without_ranges_starts_again(feeding: Feeding, vendor: StandIn) -> None:
    files(vendor, breaks_off(vendor, PIECE))
    vendor.ranges = False
    feeding.published()
    assert feeding.contents() == {"a.yar": RULES}


@pytest.mark.parametrize("tag", ['W/"weak"', "unquoted", ""])
def test_without_a_strong_entity_tag_nothing_is_pieced_together(
    feeding: Feeding, vendor: StandIn, tag: str
) -> None:
    vendor.etags = bool(tag)
    files(vendor, breaks_off(vendor, PIECE, tag=tag))
    assert "cut off" in failed(feeding)
    assert firsts(vendor) == [0]
    feeding.published()
    assert feeding.contents() == {"a.yar": RULES}


def test_a_server_that_always_breaks_off_is_given_up(feeding: Feeding, vendor: StandIn) -> None:
    files(vendor, *[breaks_off(vendor, 100)] * 9)
    assert "cut off" in failed(feeding)
    assert len(firsts(vendor)) == 1 + MAX_RESUMPTIONS


def test_a_server_that_sends_no_more_is_given_up_at_once(feeding: Feeding, vendor: StandIn) -> None:
    files(vendor, breaks_off(vendor, PIECE), breaks_off(vendor, 0))
    assert "cut off" in failed(feeding)
    assert len(firsts(vendor)) == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (status(206, b"x", Content_Range="bytes 9-9/99"), "another part"),
        (status(206, b"x" * len(RULES), Content_Range=f"bytes {PIECE}-9/99"), "more than"),
        (status(404), "404"),
    ],
    ids=["another part", "more than there is", "gone"],
)
def test_an_odd_rest_is_refused(
    feeding: Feeding, vendor: StandIn, answer: Answer, told: str
) -> None:
    feeding.feed(
        url=f"{vendor.url}/a.yar", allow_unsigned=True, version="last-modified",
        max_release_bytes=len(RULES),
    )  # fmt: skip
    files(vendor, breaks_off(vendor, PIECE), answer)
    assert told in failed(feeding)
