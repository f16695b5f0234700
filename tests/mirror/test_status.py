"""What `sigmirror status` tells of upstreams."""

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from mirror.pulls import Pulled, PullState
from tests.mirror.operator import Operator, now
from tests.mirror.site import BY, Mirror, candidate
from tests.mirror.vendor import Vendor, root_of, serving


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    one = Operator(tmp_path, capsys)
    (one.drop / "rules").write_bytes(b"rule a")
    assert one.types("pull")[0] == 0
    return one


def remember(operator: Operator, **values: object) -> None:
    state = PullState(operator.mirror.folder / "state/upstreams", "inhouse")
    state.write(msgspec.structs.replace(state.read(), **values))


def test_an_upstream_whose_files_nobody_signed_is_shown_as_such(operator: Operator) -> None:
    (upstream,) = operator.asks("status")["upstreams"]
    assert (upstream["state"], upstream["assurance"]) == ("ok", "none")
    assert "assurance none (below signed)" in operator.types("status")[1]
    assert operator.asks("status")["problems"] == []


def test_a_vendor_who_asks_us_to_stay_away_is_shown_until_the_time_is_over(
    operator: Operator,
) -> None:
    until = now() + timedelta(hours=4)
    remember(operator, not_before=until)
    assert operator.asks("status")["upstreams"][0]["not_before"]
    said = f"the vendor is left alone until {until:%Y-%m-%d %H:%M:%SZ}"
    assert said in operator.types("status")[1]
    remember(operator, not_before=now() - timedelta(seconds=1))
    assert operator.asks("status")["upstreams"][0]["not_before"] is None


def test_an_upstream_that_was_never_pulled_has_no_assurance(operator: Operator) -> None:
    operator.write('[[upstream]]\nname = "new"\nkind = "drop"\nchannel = "new"\nfolder = "/new"\n')
    new = operator.asks("status")["upstreams"][1]
    assert (new["name"], new["state"], new["assurance"]) == ("new", "never pulled", "")


def test_a_word_says_how_an_upstream_stands() -> None:
    at = now()
    assert Pulled().state(held=False) == "never pulled"
    assert Pulled(last_success=at).state(held=False) == "ok"
    assert Pulled(last_success=at).state(held=True) == "held"


async def test_a_choice_that_the_vendor_no_longer_offers_is_an_open_problem(
    operator: Operator, tmp_path: Path
) -> None:
    vendor = Vendor(Mirror.found(tmp_path / "vendor", now=now()))

    async def release(number: int, data: bytes) -> None:
        await vendor.mirror.publishing(keep=1).release(
            candidate(tmp_path / f"in{number}", {"a": data}),
            channel="engine", track="stable", by=BY, now=now(),
        )  # fmt: skip

    await release(1, b"x" * 1000)
    async with serving(vendor):
        root = root_of(vendor.mirror, tmp_path)
        operator.write(
            f'[[upstream]]\nname = "av"\nkind = "tuf"\nurl = "{vendor.url}"\nroot = "{root}"\n'
        )
        assert (await asyncio.to_thread(operator.types, "pull", "av"))[0] == 0
        assert (await asyncio.to_thread(operator.asks, "status"))["problems"] == []
        await release(2, b"y")
        assert "held" in (await asyncio.to_thread(operator.types, "pull", "av"))[1]
    held, delisted = sorted((await asyncio.to_thread(operator.asks, "status"))["problems"])[::-1]
    assert "release 2 of channel engine shrinks" in held
    assert delisted == (
        "repository av: channel engine: stable is release 1 by this site's choice, "
        "and the vendor no longer offers it"
    )
