"""ClamAV's signature schemes against keys and signatures the library makes."""

import functools
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SignatureError
from keys.trust.vendor.rsa import CLAMAV, PublicKey, verify_pss, verify_raw
from tests.clamav_vendor import VENDOR, KeyPair, digits, encode_pss

PSS = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
PREHASHED = utils.Prehashed(hashes.SHA256())


@functools.cache
def library_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public(key: rsa.RSAPrivateKey) -> PublicKey:
    numbers = key.public_key().public_numbers()
    return PublicKey("library key", numbers.n, numbers.e)


def library_signature(digest: bytes) -> str:
    signature = library_key().sign(digest, PSS, PREHASHED)
    return digits(int.from_bytes(signature, "big"), public(library_key()).max_digits)


@given(st.binary(max_size=100))
def test_what_the_library_signs_with_pss_holds(message: bytes) -> None:
    digest = hashlib.sha256(message).digest()
    verify_pss(public(library_key()), digest, library_signature(digest), "x")


@given(st.binary(max_size=100), st.integers(0, 341), st.integers(1, 63))
def test_no_digit_of_a_signature_can_change(message: bytes, place: int, by: int) -> None:
    digest = hashlib.sha256(message).digest()
    signature = library_signature(digest)
    changed = signature[:place] + _shifted(signature[place], by) + signature[place + 1 :]
    with pytest.raises(SignatureError):
        verify_pss(public(library_key()), digest, changed, "x")


def _shifted(digit: str, by: int) -> str:
    alphabet = digits(sum(n << 6 * n for n in range(64)), 64)
    return alphabet[(alphabet.index(digit) + by) % 64]


@given(st.binary(min_size=32, max_size=32))
def test_a_modulus_of_2047_bits_is_served_as_the_vendors_is(digest: bytes) -> None:
    assert VENDOR.infos.modulus.bit_length() == 2047
    verify_pss(VENDOR.infos.public, digest, VENDOR.infos.sign_pss(digest), "x")


@given(st.binary(min_size=16, max_size=16))
def test_a_raw_signature_yields_the_digest_itself(digest: bytes) -> None:
    signature = VENDOR.header.sign_raw(digest)
    verify_raw(VENDOR.header.public, digest, signature, "x")
    other = bytes([digest[0] ^ 1]) + digest[1:]
    with pytest.raises(SignatureError, match="x: not signed by the test database key"):
        verify_raw(VENDOR.header.public, other, signature, "x")


def test_a_raw_signature_whose_upper_bits_are_not_zero_is_refused() -> None:
    digest = bytes(range(16))
    padded = b"\x01" + bytes(4) + digest  # ClamAV itself compares the lower 16 bytes only
    with pytest.raises(SignatureError):
        verify_raw(VENDOR.header.public, digest, VENDOR.header.sign_raw(padded), "x")


SIGNED = bytes(32)


def broken_encodings() -> dict[str, bytes]:
    """Encodings of a digest that are each wrong in one place, signed with the right key."""
    good = encode_pss(SIGNED, bytes(32))
    return {
        "another last byte": good[:-1] + b"\xbd",
        "another hash": good[:-2] + bytes([good[-2] ^ 1]) + good[-1:],
        "bytes before the salt's mark": bytes([good[0], good[1] ^ 4]) + good[2:],
        "no mark before the salt": good[:190] + bytes([good[190] ^ 1]) + good[191:],
        "all zero": bytes(256),
    }


@pytest.mark.parametrize("encoded", broken_encodings().values(), ids=broken_encodings().keys())
def test_an_encoding_that_is_wrong_in_one_place_is_refused(encoded: bytes) -> None:
    key = VENDOR.cdiffs
    number = pow(int.from_bytes(encoded, "big"), key.private, key.modulus)
    with pytest.raises(SignatureError):
        verify_pss(key.public, SIGNED, digits(number, key.public.max_digits), "x")


@pytest.mark.parametrize("pair", [VENDOR.header, VENDOR.infos], ids=["raw", "pss"])
@pytest.mark.parametrize(
    "change", ["", "a" * 400, "*", "ä"], ids=["none", "long", "sign", "letter"]
)
def test_what_is_no_number_in_clamavs_digits_is_refused(pair: KeyPair, change: str) -> None:
    with pytest.raises(SignatureError, match="not a number in ClamAV's digits"):
        verify_pss(pair.public, SIGNED, change, "x")


def test_a_number_that_means_the_same_modulo_n_is_refused() -> None:
    digest = bytes(range(16))
    key = VENDOR.header
    same = pow(int.from_bytes(digest, "big"), key.private, key.modulus) + key.modulus
    assert len(digits(same, 171)) == key.public.max_digits
    with pytest.raises(SignatureError, match="not below the modulus"):
        verify_raw(key.public, digest, digits(same, 171), "x")


def test_the_vendors_keys_have_the_sizes_he_gave_them() -> None:
    sizes = [key.modulus.bit_length() for key in (CLAMAV.header, CLAMAV.info, CLAMAV.cdiff)]
    assert sizes == [1024, 2047, 2047]
