"""Holds of feeds over HTTP: what is held is not fetched again, whatever tells its version."""

from pathlib import Path

import pytest

from tests.mirror.feeding import Feeding
from tests.mirror.stand_in import MODIFIED, StandIn

LATER = MODIFIED.replace(day=2)
BIG, SMALL, FILE = b"x" * 10_000, b"y" * 100, "/rules.txt"


@pytest.fixture
def feeding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Feeding:
    return Feeding(tmp_path, capsys)


def outcome(feeding: Feeding) -> str:
    found: str = feeding.asks("pull", "feed")["pulls"][0]["outcome"]
    return found


def feed(feeding: Feeding, vendor: StandIn, version: str) -> None:
    url = f"{vendor.url}{FILE}"
    feeding.feed(url=url, verify=["sha256"], allow_unsigned=True, version=version)


@pytest.mark.parametrize("version", ["etag", "last-modified", "sidecar"])
def test_what_is_held_is_fetched_once(feeding: Feeding, version: str) -> None:
    with StandIn() as vendor:
        feed(feeding, vendor, version)
        vendor.put(FILE, BIG, "sha256")
        assert outcome(feeding) == "published"
        vendor.put(FILE, SMALL, "sha256", modified=LATER)
        assert outcome(feeding) == "held"
        assert feeding.upstream()["state"] == "held"
        bodies, sent = vendor.bodies(FILE), vendor.sent
        assert outcome(feeding) == "held"
        assert (vendor.bodies(FILE), vendor.sent - sent < 200) == (bodies, True)
        assert feeding.contents() == {"rules.txt": BIG}
        feeding.asks("hold", "release", "feed", "--reason", "fine")
        assert feeding.contents() == {"rules.txt": SMALL}
        assert outcome(feeding) == "unchanged"
        assert vendor.bodies(FILE) == bodies


def test_a_vendor_who_tells_no_version_is_held_once_and_dropped_once(feeding: Feeding) -> None:
    with StandIn(etags=False, dates=False) as vendor:
        feed(feeding, vendor, "etag")
        vendor.put(FILE, BIG, "sha256")
        assert outcome(feeding) == "published"
        vendor.put(FILE, SMALL, "sha256")
        assert [outcome(feeding), outcome(feeding)] == ["held", "held"]
        held = [line for line in feeding.mirror.journal.read_text().splitlines() if "hold" in line]
        assert len(held) == 1
        feeding.types("hold", "drop", "feed", "--reason", "a slip")
        assert [outcome(feeding), outcome(feeding)] == ["dropped", "dropped"]
        vendor.put(FILE, SMALL + b"!", "sha256")
        assert outcome(feeding) == "held"
        vendor.put(FILE, BIG + b"!", "sha256")
        assert outcome(feeding) == "published"
        assert feeding.contents() == {"rules.txt": BIG + b"!"}


def test_dropped_files_that_only_got_another_version_stay_dropped(feeding: Feeding) -> None:
    with StandIn(etags=False) as vendor:
        feed(feeding, vendor, "last-modified")
        vendor.put(FILE, BIG, "sha256")
        outcome(feeding)
        vendor.put(FILE, SMALL, "sha256", modified=LATER)
        outcome(feeding)
        feeding.types("hold", "drop", "feed", "--reason", "a slip")
        vendor.put(FILE, SMALL, "sha256", modified=LATER.replace(hour=23))
        assert outcome(feeding) == "dropped"
        bodies = vendor.bodies(FILE)
        assert outcome(feeding) == "dropped"
        assert vendor.bodies(FILE) == bodies
