"""Signed licence files: what is believed, and every way one is refused."""

import base64
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceError, SettingsError, UsageError
from keys.model.licence import MAX_SEATS, Licence, decode_licence, encode_licence
from keys.signing.licence import issue, new_issuer, open_issuer
from keys.trust.licence import MAX_LICENCE_FILE_BYTES, Envelope, Issuers, armour, verify
from tests.keys.issuing import LICENCE, ORGANISATION, PASSPHRASE, Issuer, but


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer.make(tmp_path_factory.mktemp("issuer"))


def test_a_licence_and_its_japanese_text_travel_unharmed(issuer: Issuer) -> None:
    found = verify(issuer.issue(), issuer.pinned, "a.lic")
    assert found == LICENCE
    assert found.organisation == ORGANISATION


def test_a_licence_that_went_through_windows_mail_is_believed(issuer: Issuer) -> None:
    assert verify(issuer.issue().replace(b"\n", b"\r\n"), issuer.pinned, "a.lic") == LICENCE


@given(data=st.data())
def test_one_changed_byte_anywhere_is_refused(issuer: Issuer, data: st.DataObject) -> None:
    text = bytearray(issuer.issue())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(LicenceError, match=r"^a\.lic: "):
        verify(bytes(text), issuer.pinned, "a.lic")


def _body(data: bytes) -> Envelope:
    return msgspec.json.decode(base64.b64decode(b"".join(data.split(b"\n")[1:-2])), type=Envelope)


def _with_longer_term(data: bytes) -> bytes:
    payload = encode_licence(but(ends_on=date(2030, 3, 31)))
    return armour(msgspec.structs.replace(_body(data), payload=payload))


def _with_blank_line(data: bytes) -> bytes:
    return data.replace(b"\n-----END", b"\n\n-----END")


def _oversized(data: bytes) -> bytes:
    return data + b"x" * MAX_LICENCE_FILE_BYTES


EMPTY_ENVELOPE = b"-----BEGIN SIGMIRROR LICENCE-----\ne30=\n-----END SIGMIRROR LICENCE-----\n"
REFUSED: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("longer term", _with_longer_term, "edited: the signature does not match"),
    ("blank line", _with_blank_line, "edited: not as it was written"),
    ("truncated", lambda data: data[: len(data) // 2], "truncated"),
    ("without its last byte", lambda data: data[:-1], "truncated"),
    ("oversized", _oversized, "larger than MAX_LICENCE_FILE_BYTES=65536"),
    ("two in one file", lambda data: data + data, "edited"),
    ("empty", lambda _: b"", "not a signed licence file"),
    ("a vendor's own", lambda _: b"<LICENSE/>", "not a signed licence file"),
    ("no envelope", lambda _: EMPTY_ENVELOPE, "edited: Object missing required field"),
]


@pytest.mark.parametrize(
    ("damage", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_damaged_file_is_refused_by_name(
    issuer: Issuer, damage: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(LicenceError, match=r"^a\.lic: ") as caught:
        verify(damage(issuer.issue()), issuer.pinned, "a.lic")
    assert reason in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_forger_with_a_key_of_his_own_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    forger = Issuer.make(tmp_path)
    with pytest.raises(LicenceError, match="which is no pinned issuer"):
        verify(forger.issue(), issuer.pinned, "a.lic")


def test_a_forger_under_the_issuers_key_id_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    forged = _body(Issuer.make(tmp_path).issue())
    forged = msgspec.structs.replace(forged, keyid=issuer.signer.public_key.keyid)
    with pytest.raises(LicenceError, match="the signature does not match"):
        verify(armour(forged), issuer.pinned, "a.lic")


def test_what_an_issuers_key_signed_for_another_purpose_is_no_licence(issuer: Issuer) -> None:
    payload = encode_licence(LICENCE)
    signature = issuer.signer.sign(payload)
    envelope = Envelope(signature.keyid, payload, bytes.fromhex(signature.signature))
    with pytest.raises(LicenceError, match="the signature does not match"):
        verify(armour(envelope), issuer.pinned, "a.lic")


def test_a_second_issuer_key_may_be_pinned_beside_the_first(issuer: Issuer, tmp_path: Path) -> None:
    successor = Issuer.make(tmp_path)
    both = Issuers.parse(issuer.public.read_bytes() + successor.public.read_bytes(), "both.pub")
    assert verify(issuer.issue(), both, "a.lic") == verify(successor.issue(), both, "b.lic")


@pytest.mark.parametrize("content", [b"", b"nothing", b"x-----END PUBLIC KEY-----\n"])
def test_what_is_no_public_key_cannot_be_pinned(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "issuer.pub").write_bytes(content)
    with pytest.raises(SettingsError, match=r"issuer\.pub: "):
        Issuers.read(tmp_path / "issuer.pub")


def test_an_issuer_is_never_overwritten(issuer: Issuer) -> None:
    before = issuer.key.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        new_issuer(issuer.key, PASSPHRASE)
    assert issuer.key.read_bytes() == before


def test_the_issuers_key_file_is_encrypted_and_private(issuer: Issuer) -> None:
    assert b"ENCRYPTED PRIVATE KEY" in issuer.key.read_bytes()
    assert issuer.key.stat().st_mode & 0o777 == 0o600


def test_a_key_service_needs_the_public_half_named() -> None:
    with pytest.raises(UsageError, match="needs its public half"):
        open_issuer("awskms:alias/issuer", None, None)


@given(
    seats=st.integers(1, MAX_SEATS),
    days=st.integers(0, 5 * 365),
    organisation=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200),
    feeds=st.lists(st.sampled_from(["clamav", "kam", "x-1"]), max_size=3).map(tuple),
)
def test_any_record_survives_sign_and_verify(
    issuer: Issuer, seats: int, days: int, organisation: str, feeds: tuple[str, ...]
) -> None:
    licence: Licence = but(
        seats=seats,
        ends_on=LICENCE.starts_on + timedelta(days=days),
        organisation=organisation,
        feeds=feeds,
    )
    assert decode_licence(encode_licence(licence), "x") == licence
    assert verify(issue(licence, issuer.signer), issuer.pinned, "x") == licence
