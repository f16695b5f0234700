"""Feeds on plain web servers, pulled by the real command into a real repository."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.feeding import Feeding
from tests.mirror.stand_in import StandIn

RULE = b'rule a { strings: $a = "x" condition: $a }\n'


@pytest.fixture
def feeding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Feeding:
    return Feeding(tmp_path, capsys)


@pytest.fixture
def vendor() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


def test_a_file_with_its_sidecar_becomes_a_release(feeding: Feeding, vendor: StandIn) -> None:
    vendor.put("/rules/a.yar", RULE, "sha256")
    feeding.feed(url=f"{vendor.url}/rules/a.yar", verify=["sha256"], allow_unsigned=True)
    feeding.published()
    assert feeding.contents() == {"a.yar": RULE}
    offered = feeding.offered()
    assert offered.assurance.value == "digest"
    assert [file.path for file in offered.originals] == ["a.yar.sha256"]
    assert offered.release.startswith("20260301T060000Z-")
    assert "feed: unchanged" in feeding.pull().out
    assert vendor.bodies("/rules/a.yar") == 1
