"""One byte changed anywhere is refused; what the vendor's format leaves free is said by name."""

import base64
import contextlib
import functools
import io
import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.errors import FormatError, LimitError, TrustError
from keys.trust.vendor.anchors import Anchors
from keys.trust.vendor.cdiff import verify_cdiff
from keys.trust.vendor.clamsign import verify_sign
from keys.trust.vendor.cld import verify_cld
from keys.trust.vendor.cvd import expand_cvd, verify_cvd
from keys.trust.vendor.info import verify_info
from keys.trust.vendor.script import parse_script
from tests.clamav_vendor import VENDOR, clamav_tar, issue
from tests.real_data import real_data

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Check = Callable[[bytes], object]


def check_cvd(data: bytes) -> object:
    return verify_cvd(io.BytesIO(data), "test.cvd")


def check_cld(data: bytes) -> object:
    return verify_cld(io.BytesIO(data), "test.cld")


def check_cdiff(data: bytes) -> object:
    return verify_cdiff(data, "test.cdiff")


def check_sign(data: bytes) -> object:
    content = real_data("clamav/testdb/test-3.cvd")
    return verify_sign(data, content, trusted(), "test.sign", at=NOW)


@functools.cache
def trusted() -> Anchors:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(real_data("clamav/certs/clamav-test-root.crt"), folder)
        return Anchors.load(Path(folder))


def genuine(name: str) -> bytes:
    return real_data(f"clamav/{name}").read_bytes()


@functools.cache
def expanded(name: str) -> bytes:
    target = io.BytesIO()
    expand_cvd(real_data(f"clamav/{name}"), target, name)
    return target.getvalue()


def refuse_one_flip(data: bytes, check: Check, place: int, by: int) -> None:
    """Change one byte; it must not pass, as untrustworthy, or as beyond a limit at the latest."""
    place %= len(data)
    changed = data[:place] + bytes([data[place] ^ by]) + data[place + 1 :]
    with pytest.raises((TrustError, LimitError)):
        check(changed)


flips = given(place=st.integers(0, 1 << 24), by=st.integers(1, 255))


@pytest.mark.parametrize("name", ["testdb/test-3.cvd", "bytecode/bytecode-268.cvd"])
@flips
def test_a_genuine_cvd_has_no_free_byte(name: str, place: int, by: int) -> None:
    refuse_one_flip(genuine(name), check_cvd, place, by)


@flips
def test_the_header_of_a_genuine_cvd_has_no_free_byte(place: int, by: int) -> None:
    refuse_one_flip(genuine("testdb/test-3.cvd"), check_cvd, place % 512, by)


@pytest.mark.parametrize("name", ["testdb/test-3.cvd", "bytecode/bytecode-19.cvd"])
@flips
def test_the_canonical_cld_of_a_genuine_cvd_has_no_free_byte(
    name: str, place: int, by: int
) -> None:
    refuse_one_flip(expanded(name), check_cld, place, by)


@pytest.mark.parametrize("name", ["testdb/test-3.cdiff", "cdiff/daily-25784.cdiff"])
@flips
def test_a_genuine_cdiff_has_no_free_byte(name: str, place: int, by: int) -> None:
    refuse_one_flip(genuine(name), check_cdiff, place, by)


@flips
def test_a_genuine_sign_file_has_no_free_byte_but_its_levels(place: int, by: int) -> None:
    data = genuine("testdb/test-3.cvd.sign")
    levels = re.compile(rb"^[0-9]*:[0-9]*:", re.MULTILINE).search(data)
    assert levels
    place %= len(data)
    if not levels.start() <= place < levels.end():
        refuse_one_flip(data, check_sign, place, by)


@flips
def test_a_genuine_info_has_no_free_byte(place: int, by: int) -> None:
    data = genuine("daily-15669-unpacked/daily.info")
    refuse_one_flip(data, lambda changed: verify_info(changed, "daily.info", "daily"), place, by)


# -- every byte of small ones -----------------------------------------------------------------

DAILY = issue(2, hdb="44d88612fea8a8f36de82e1278abb02f:68:X\n", ldb="# none\n")


def small() -> Iterator[tuple[str, bytes, Check]]:
    cvd, cld = VENDOR.cvd(DAILY), io.BytesIO()
    expand_cvd(io.BytesIO(cvd), cld, "daily.cvd", keys=VENDOR.keys)
    checks: dict[str, Check] = {
        "cvd": lambda data: verify_cvd(io.BytesIO(data), "daily.cvd", keys=VENDOR.keys),
        "cld": lambda data: verify_cld(io.BytesIO(data), "daily.cld", keys=VENDOR.keys),
        "cdiff": lambda data: verify_cdiff(data, "daily-2.cdiff", keys=VENDOR.keys),
    }
    yield "cvd", cvd, checks["cvd"]
    yield "cld", cld.getvalue(), checks["cld"]
    yield "cdiff", VENDOR.cdiff_between(issue(1, hdb="x\n"), DAILY), checks["cdiff"]


SMALL = tuple(small())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "data", "check"), SMALL, ids=[kind for kind, *_ in SMALL])
def test_no_byte_of_a_small_one_is_free(kind: str, data: bytes, check: Check) -> None:
    assert kind
    check(data)
    bits = itertools.cycle((1, 0x20, 0x80))
    for place, by in zip(range(len(data)), bits, strict=False):
        refuse_one_flip(data, check, place, by)


@pytest.mark.slow
def test_no_byte_of_a_genuine_signature_is_free() -> None:
    der = base64.b64decode(genuine("testdb/test-3.cvd.sign").split(b":")[3])

    def check(changed: bytes) -> object:
        return check_sign(b"#clamsign-1.0\n230::pkcs7-pem:" + base64.b64encode(changed))

    check(der)
    for place in range(len(der)):
        refuse_one_flip(der, check, place, 1)  # which also makes another kind of string of a name


@pytest.mark.slow
def test_of_a_cld_as_freshclam_leaves_it_only_the_licence_text_is_free() -> None:
    contents = VENDOR.contents(DAILY)
    data = DAILY.header().encode().ljust(512) + clamav_tar(contents)
    free = range(1024, 1024 + len(contents[0][1]))
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        if place in free:
            verify_cld(io.BytesIO(changed), "daily.cld", keys=VENDOR.keys)
        else:
            with pytest.raises(TrustError):
                verify_cld(io.BytesIO(changed), "daily.cld", keys=VENDOR.keys)


# -- anything at all --------------------------------------------------------------------------


@functools.cache
def signature() -> bytes:
    return base64.b64decode(genuine("testdb/test-3.cvd.sign").split(b":")[3])


@settings(max_examples=400)
@given(st.integers(0, 1 << 12), st.integers(0, 40), st.binary(max_size=8))
def test_a_mangled_signature_is_refused_as_one_of_ours(at: int, cut: int, put: bytes) -> None:
    der = signature()
    at %= len(der)
    mangled = der[:at] + put + der[at + cut :]
    if mangled != der:
        line = b"230::pkcs7-pem:" + base64.b64encode(mangled)
        with pytest.raises((TrustError, LimitError)):
            check_sign(b"#clamsign-1.0\n" + line)


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_as_one_of_ours(data: bytes) -> None:
    named = (DAILY.header().encode().ljust(512), b"ClamAV-Diff:2:9:", b"#clamsign-1.0\n")
    for check in (check_cvd, check_cld, check_cdiff, check_sign):
        for beginning in (b"", *named):
            with pytest.raises((TrustError, LimitError)):
                check(beginning + data)


@settings(max_examples=30)
@given(st.binary(max_size=600))
def test_any_signed_bytes_are_refused_as_one_of_ours(data: bytes) -> None:
    """A vendor's mistake, too, is told as what it is."""
    with pytest.raises((TrustError, LimitError)):
        verify_cvd(io.BytesIO(VENDOR.sealed(DAILY, data)), "daily.cvd", keys=VENDOR.keys)
    with pytest.raises((TrustError, LimitError)):
        verify_cvd(io.BytesIO(VENDOR.packed(DAILY, data)), "daily.cvd", keys=VENDOR.keys)
    with pytest.raises((TrustError, LimitError)):
        verify_cdiff(VENDOR.sealed_cdiff(data), "daily.cdiff", keys=VENDOR.keys)


commands = st.sampled_from([b"OPEN", b"ADD", b"DEL", b"XCHG", b"CLOSE", b"MOVE", b"UNLINK"])


@given(st.lists(st.tuples(commands, st.binary(max_size=20)).map(b" ".join)))
def test_any_script_is_read_or_refused_as_one_of_ours(lines: list[bytes]) -> None:
    with contextlib.suppress(FormatError):
        parse_script(b"\n".join([*lines, b""]), "daily.cdiff")
