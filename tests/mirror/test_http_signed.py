"""Feeds whose vendors sign: OpenPGP, minisign and CVD, through the real command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from minisign import KeyPair

from tests.keys.pgp import Vendor
from tests.mirror.feeding import Feeding
from tests.mirror.stand_in import StandIn, body
from tests.real_data import real_data

RULE, NEXT = b"rule a { condition: true }\n", b"rule b { condition: true }\n"


@pytest.fixture
def feeding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Feeding:
    return Feeding(tmp_path, capsys)


@pytest.fixture
def vendor() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def signer() -> Vendor:
    return Vendor.new()


def follow(feeding: Feeding, vendor: StandIn, signer: Vendor) -> None:
    key = feeding.folder / "vendor.asc"
    key.write_bytes(signer.armoured)
    feeding.feed(
        url=f"{vendor.url}/a.yar", verify=["openpgp"], verify_keys=[str(key)],
        fingerprints=[signer.fingerprint], signature_suffix=".sig",
    )  # fmt: skip


def offer(vendor: StandIn, signer: Vendor, data: bytes) -> None:
    vendor.put("/a.yar", data)
    vendor.put("/a.yar.sig", signer.sign(data))


def test_a_release_signed_by_a_pinned_key_is_signed(
    feeding: Feeding, vendor: StandIn, signer: Vendor
) -> None:
    offer(vendor, signer, RULE)
    follow(feeding, vendor, signer)
    feeding.published()
    offered = feeding.offered()
    assert offered.assurance.value == "signed"
    assert [one.path for one in offered.originals] == ["a.yar.sig"]
    files = feeding.client.channels(now=offered.published).files(offered)
    assert files[0].provenance == f"openpgp {signer.fingerprint}"


def test_a_signature_by_another_key_is_refused(
    feeding: Feeding, vendor: StandIn, signer: Vendor
) -> None:
    offer(vendor, signer, RULE)
    follow(feeding, vendor, signer)
    feeding.published()
    offer(vendor, Vendor.new(), NEXT)
    done = feeding.pull()
    assert done.code == 3
    assert "no good OpenPGP signature by a pinned key" in done.err
    assert feeding.contents() == {"a.yar": RULE}


@pytest.mark.parametrize("missing", [True, False], ids=["is missing", "is a page"])
def test_a_release_whose_signature_is_not_there_is_refused(
    feeding: Feeding, vendor: StandIn, signer: Vendor, missing: bool
) -> None:
    offer(vendor, signer, RULE)
    follow(feeding, vendor, signer)
    if missing:
        del vendor.files["/a.yar.sig"]
    else:
        vendor.always["/a.yar.sig"] = body(b"<html><title>Blocked</title></html>")
    done = feeding.pull()
    assert done.code == (1 if missing else 3)
    assert "a.yar.sig: 404" in done.err if missing else "an HTML page" in done.err
    assert feeding.asks("status")["repositories"][0]["channels"] == []


def test_an_old_file_with_its_old_signature_does_not_come_back(
    feeding: Feeding, vendor: StandIn
) -> None:
    """A replay by anybody between the vendor and us: the signature is genuine, and older."""
    pair = KeyPair.generate()
    follow_minisign(feeding, vendor, pair)
    for data, at in ((RULE, 1_700_000_000), (NEXT, 1_700_000_001)):
        offer_minisign(vendor, pair, data, at)
        feeding.published()
    offer_minisign(vendor, pair, RULE, 1_700_000_000)
    done = feeding.pull()
    assert done.code == 3
    assert "a.yar: signed 2023-11-14 22:13:20Z, earlier than the one published" in done.err
    assert feeding.contents() == {"a.yar": NEXT}
    offer_minisign(vendor, pair, RULE + RULE, 1_700_000_002)
    feeding.published()


def follow_minisign(feeding: Feeding, vendor: StandIn, pair: KeyPair) -> None:
    key = feeding.folder / "vendor.pub"
    key.write_bytes(bytes(pair.public_key))
    feeding.feed(url=f"{vendor.url}/a.yar", verify=["minisign", "sha512"], verify_keys=[str(key)])


def offer_minisign(vendor: StandIn, pair: KeyPair, data: bytes, at: int) -> None:
    signature = pair.secret_key.sign(data, trusted_comment=f"timestamp:{at}")
    vendor.put("/a.yar", data, "sha512")
    vendor.put("/a.yar.minisig", bytes(signature))


def test_minisign_and_a_checksum_hold_together(feeding: Feeding, vendor: StandIn) -> None:
    pair = KeyPair.generate()
    follow_minisign(feeding, vendor, pair)
    offer_minisign(vendor, pair, RULE, 1_700_000_000)
    feeding.published()
    assert feeding.offered().assurance.value == "signed"
    vendor.put("/a.yar", NEXT, "sha512")
    done = feeding.pull()
    assert (done.code, "minisign" in done.err) == (3, True)


def test_a_database_that_is_its_own_signature_needs_no_sidecar(
    feeding: Feeding, vendor: StandIn
) -> None:
    data = real_data("clamav/bytecode/bytecode-333.cvd").read_bytes()
    vendor.put("/bytecode.cvd", data)
    feeding.feed(url=f"{vendor.url}/bytecode.cvd", verify=["cvd"])
    feeding.published()
    offered = feeding.offered()
    assert (offered.assurance.value, offered.signatures) == ("signed", 92)
    vendor.put("/bytecode.cvd", data[:-9] + b"?" + data[-8:])
    assert feeding.pull().code == 3


def test_a_key_file_that_is_not_there_is_named_before_anything_is_asked(
    feeding: Feeding, vendor: StandIn, signer: Vendor
) -> None:
    follow(feeding, vendor, signer)
    (feeding.folder / "vendor.asc").unlink()
    done = feeding.types("check-config")
    assert done.code == 2
    assert "vendor.asc" in done.out
    assert vendor.asked == []
