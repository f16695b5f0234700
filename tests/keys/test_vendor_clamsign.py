"""The .sign files of ClamAV 1.5: lines, certificates, chains, moments."""

import base64
import functools
import io
import itertools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keys.errors import Error, FormatError, LimitError, SettingsError, SignatureError
from keys.model.release import Assurance
from keys.trust.vendor import anchors, clamsign
from keys.trust.vendor.anchors import Anchors
from keys.trust.vendor.certificates import name_of
from keys.trust.vendor.clamsign import verify_sign
from keys.trust.vendor.verdict import Verdict
from tests.clamav_vendor import VENDOR
from tests.real_data import real_data

NOW = datetime(2026, 1, 1, tzinfo=UTC)  # the vendor's test root ends on 2027-03-26
CONTENT = b"ClamAV-VDB: whatever"
HEAD = b"#clamsign-1.0\n"
NAMES = ("test-1.cvd", "test-2.cdiff", "test-2.cvd", "test-3.cdiff", "test-3.cvd")
ROOT = "clamav-test-root.crt"
ROOT_AND_INTERMEDIATE = "clamav-test-root-and-intermediate-2025-03-26.crt"
PRODUCTION = "clamav-production-root.crt"


def trusted(folder: Path, *names: str) -> Anchors:
    for name in names:
        shutil.copy(real_data(f"clamav/certs/{name}"), folder)
    return Anchors.load(folder)


def check_genuine(folder: str, name: str, by: Anchors, *, at: datetime = NOW) -> Verdict:
    sign = real_data(f"clamav/{folder}/{name}.sign").read_bytes()
    return verify_sign(sign, real_data(f"clamav/testdb/{name}"), by, f"{name}.sign", at=at)


# -- the vendor's own -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["testdb", "testdb-sign-2025-03-29"])
def test_a_genuine_signature_holds_by_the_root_alone(
    folder: str, name: str, tmp_path: Path
) -> None:
    verdict = check_genuine(folder, name, trusted(tmp_path, ROOT))
    assert (verdict.scheme, verdict.assurance) == ("clamsign", Assurance.signed)
    assert verdict.signer == "ClamAV TEST CVD Signing Cert"
    assert verdict.signed_at is not None
    assert verdict.signed_at.date().isoformat() == "2025-03-29"


@pytest.mark.parametrize("name", NAMES)
def test_a_genuine_signature_without_its_intermediate_needs_that_among_the_trusted(
    name: str, tmp_path: Path
) -> None:
    for folder in (tmp_path / "root", tmp_path / "both"):
        folder.mkdir()
    with pytest.raises(SignatureError, match="whom no trusted root vouches for"):
        check_genuine("testdb-sign-2025-03-26", name, trusted(tmp_path / "root", ROOT))
    both = trusted(tmp_path / "both", ROOT_AND_INTERMEDIATE)
    assert check_genuine("testdb-sign-2025-03-26", name, both).signed_at


def test_a_genuine_signature_of_a_test_does_not_hold_by_the_production_root(
    tmp_path: Path,
) -> None:
    with pytest.raises(SignatureError, match="whom no trusted root vouches for"):
        check_genuine("testdb", "test-3.cvd", trusted(tmp_path, PRODUCTION))


@pytest.mark.parametrize(
    "at", [datetime(2025, 3, 1, tzinfo=UTC), datetime(2027, 3, 27, tzinfo=UTC)]
)
def test_certificates_must_be_valid_at_the_given_time(at: datetime, tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match=f"not valid on {at:%Y-%m-%d}"):
        check_genuine("testdb", "test-3.cvd", trusted(tmp_path, ROOT), at=at)


def test_a_genuine_signature_of_another_file_is_refused(tmp_path: Path) -> None:
    sign = real_data("clamav/testdb/test-2.cvd.sign").read_bytes()
    with pytest.raises(SignatureError, match="the signature is of another content"):
        verify_sign(
            sign, real_data("clamav/testdb/test-3.cvd"), trusted(tmp_path, ROOT), "x", at=NOW
        )


# -- the folder of certificates ---------------------------------------------------------------


def test_two_certificates_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="two with the common name 'ClamAV TEST Root CA'"):
        trusted(tmp_path, ROOT, ROOT_AND_INTERMEDIATE)


def test_certificates_are_read_from_crt_and_pem_alone(tmp_path: Path) -> None:
    trusted(tmp_path, ROOT_AND_INTERMEDIATE)
    shutil.copy(real_data(f"clamav/certs/{PRODUCTION}"), tmp_path / "production.pem")
    (tmp_path / "README").write_text("not read")
    names = [name_of(one) for one in Anchors.load(tmp_path).certificates]
    assert len(names) == 3
    assert "Cisco Software Identity Root CA RSA 4096 SHA512 2099" in names


def test_a_folder_without_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"0 in its \.crt and \.pem files"):
        Anchors.load(tmp_path)
    with pytest.raises(SettingsError, match="No such file or directory"):
        Anchors.load(tmp_path / "missing")


@pytest.mark.parametrize("data", [b"", b"not PEM", b"x" * ((1 << 20) + 1)])
def test_a_file_that_is_no_certificate_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.crt").write_bytes(data)
    with pytest.raises(SettingsError, match=r"a\.crt: (holds no PEM|exceeds)"):
        Anchors.load(tmp_path)


# -- lines ------------------------------------------------------------------------------------


@pytest.fixture
def by(tmp_path: Path) -> Anchors:
    return Anchors.load(VENDOR.certificates(tmp_path / "certs"))


def check(sign: bytes, by: Anchors, *, flevel: int = clamsign.FLEVEL) -> Verdict:
    return verify_sign(sign, io.BytesIO(CONTENT), by, "x.sign", at=NOW, flevel=flevel)


def line(flevels: str = "230:", content: bytes = CONTENT) -> bytes:
    return VENDOR.sign_line(content, flevels)


def test_the_vendor_of_the_tests_signs_as_clamavs_does(by: Anchors) -> None:
    assert check(VENDOR.sign(CONTENT), by).signer == "Test vendor signer"


@pytest.mark.parametrize("flevels", ["230:", ":", ":230", "230:230", "0:9999999999"])
def test_a_line_whose_range_holds_the_level_is_taken(flevels: str, by: Anchors) -> None:
    assert check(HEAD + line(flevels), by).signed_at


@pytest.mark.parametrize("flevels", ["231:", ":229", "231:229"])
def test_lines_for_other_engines_alone_are_refused(flevels: str, by: Anchors) -> None:
    with pytest.raises(SignatureError, match="no signature for an engine of functionality level"):
        check(HEAD + line(flevels), by)


def test_the_level_selects_among_lines_and_only_that_line_decides(by: Anchors) -> None:
    old, new = line(":229", b"another"), line("230:")
    assert check(HEAD + old + new, by).signed_at
    with pytest.raises(SignatureError, match="another content"):
        check(HEAD + old + new, by, flevel=229)


def test_the_first_line_in_range_that_fails_rejects_although_a_later_one_would_hold(
    by: Anchors,
) -> None:
    with pytest.raises(SignatureError, match="another content"):
        check(HEAD + line(content=b"another") + line(), by)


def test_lines_behind_the_one_that_decided_are_not_read(by: Anchors) -> None:
    assert check(HEAD + line() + b"what is this\n", by).signed_at


def test_a_line_before_it_that_cannot_be_read_rejects(by: Anchors) -> None:
    with pytest.raises(FormatError, match=r"x\.sign: line 2: malformed: 'what is this'"):
        check(HEAD + b"what is this\n" + line(), by)


def test_comments_and_empty_lines_are_skipped(by: Anchors) -> None:
    assert check(HEAD + b"\n# a comment\n" + line(), by).signed_at


DER = base64.b64decode(line().split(b":")[3])
ODD_LINES = {
    "no flevels": b"pkcs7-pem:AAAA",
    "other kind": line().replace(b"pkcs7-pem", b"ed25519"),
    "no base64": b"230::pkcs7-pem:&&&&",
    "cut base64": b"230::pkcs7-pem:AAAAA",
    "loose base64": b"230::pkcs7-pem:AB==",
    "no DER": b"230::pkcs7-pem:AAAA",
    "dirt behind DER": b"230::pkcs7-pem:" + base64.b64encode(DER + b"\0"),
    "cut DER": b"230::pkcs7-pem:" + base64.b64encode(DER[:-1]),
    "leading zero": line("0230:"),
    "blank": line(" 230:"),
}


@pytest.mark.parametrize("odd", ODD_LINES.values(), ids=ODD_LINES.keys())
def test_a_malformed_line_is_refused(odd: bytes, by: Anchors) -> None:
    with pytest.raises(FormatError, match=r"^x\.sign: line 2: "):
        check(HEAD + odd, by)


NOT_SIGN = {
    "empty": (b"", "but empty (0 bytes)"),
    "page": (b"<html><title>404 Not Found</title>", "an HTML page titled '404 Not Found'"),
    "next version": (b"#clamsign-2.0\n", "of version 1.0 but a ClamAV .sign file"),
    "carriage return": (b"#clamsign-1.0\r\n", "of version 1.0 but a ClamAV .sign file"),
}


@pytest.mark.parametrize(("data", "words"), NOT_SIGN.values(), ids=NOT_SIGN.keys())
def test_what_is_no_sign_file_is_named(data: bytes, words: str, by: Anchors) -> None:
    with pytest.raises(FormatError) as refused:
        check(data, by)
    assert words in str(refused.value)


def test_a_sign_file_beyond_a_limit_is_not_read(by: Anchors) -> None:
    with pytest.raises(LimitError, match="MAX_SIGN_BYTES"):
        check(HEAD + b"#" * clamsign.MAX_SIGN_BYTES, by)
    with pytest.raises(LimitError, match="MAX_LINES"):
        check(HEAD + b"\n" * (clamsign.MAX_LINES + 1), by)


# -- chains -----------------------------------------------------------------------------------


@functools.cache
def key(name: str) -> rsa.RSAPrivateKey:
    """Make a key for this name, once."""
    assert name
    return rsa.generate_private_key(65537, 2048)


CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
MAIL = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
CA = x509.BasicConstraints(ca=True, path_length=None)
NO_CA = x509.BasicConstraints(ca=False, path_length=None)


def usage(*, sign: bool, certify: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=certify,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass(frozen=True)
class Holder:
    """Who holds a certificate; ``issuer`` is who signed it, "" for himself."""

    name: str
    issuer: str = ""
    extensions: tuple[x509.ExtensionType, ...] = ()
    ends: datetime = NOW + timedelta(days=1)
    serial: int = 1

    def certificate(self, digest: hashes.SHA224 | None = None) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(self.name))
            .issuer_name(_named(self.issuer or self.name))
            .public_key(key(self.name).public_key())
            .serial_number(self.serial)
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(self.ends)
        )
        for extension in self.extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(key(self.issuer or self.name), digest or hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


TOP = Holder("root", extensions=(CA,))
MIDDLE = Holder("middle", "root", (CA,))
LEAF = Holder("leaf", "middle")


def signed(holder: Holder, sent: Sequence[Holder]) -> bytes:
    """Sign as a holder, other certificates sent along."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT)
    builder = builder.add_signer(holder.certificate(), key(holder.name), hashes.SHA256())
    for one in sent:
        builder = builder.add_certificate(one.certificate())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    der = builder.sign(serialization.Encoding.DER, options)
    return HEAD + b"230::pkcs7-pem:" + base64.b64encode(der)


def by_chain(top: Iterable[Holder], leaf: Holder, sent: Sequence[Holder]) -> Verdict:
    return check(signed(leaf, sent), Anchors(tuple(one.certificate() for one in top)))


def refusal(top: Iterable[Holder], leaf: Holder, sent: Sequence[Holder]) -> str:
    with pytest.raises(Error) as refused:
        by_chain(top, leaf, sent)
    return str(refused.value)


def test_a_chain_over_an_intermediate_holds_in_whatever_order_it_comes() -> None:
    other = Holder("other", extensions=(CA,))
    assert by_chain([other, TOP], LEAF, [other, TOP, MIDDLE]).signer
    assert by_chain([TOP, MIDDLE], LEAF, []).signer


def test_a_root_that_is_only_sent_along_vouches_for_nobody() -> None:
    assert "no trusted root" in refusal([Holder("other", extensions=(CA,))], LEAF, [MIDDLE, TOP])


def test_a_trusted_intermediate_alone_is_no_root() -> None:
    assert "no trusted root" in refusal([MIDDLE], LEAF, [])


def test_a_false_root_of_the_right_name_is_refused() -> None:
    false = Holder("false", extensions=(CA,)).certificate()
    named = (
        x509.CertificateBuilder()
        .subject_name(_named("root"))
        .issuer_name(_named("root"))
        .public_key(key("false").public_key())
        .serial_number(1)
        .not_valid_before(false.not_valid_before_utc)
        .not_valid_after(false.not_valid_after_utc)
        .add_extension(CA, critical=True)
        .sign(key("false"), hashes.SHA256())
    )
    with pytest.raises(SignatureError, match="no trusted root"):
        check(signed(LEAF, [MIDDLE]), Anchors((named,)))


ONE_OVER = x509.BasicConstraints(ca=True, path_length=0)
BAD_MIDDLES = {
    "no constraints": Holder("middle", "root"),
    "no authority": Holder("middle", "root", (NO_CA,)),
    "may not certify": Holder("middle", "root", (CA, usage(sign=True, certify=False))),
    "demands more": Holder("middle", "root", (CA, x509.OCSPNoCheck())),
    "is for something else": Holder("middle", "root", (CA, CODE)),
}


@pytest.mark.parametrize("middle", BAD_MIDDLES.values(), ids=BAD_MIDDLES.keys())
def test_an_intermediate_that_may_not_issue_is_refused(middle: Holder) -> None:
    assert "no trusted root" in refusal([TOP], LEAF, [middle])


def test_a_root_says_how_many_authorities_may_stand_below() -> None:
    top = Holder("root", extensions=(ONE_OVER,))
    assert "no trusted root" in refusal([top], LEAF, [MIDDLE])
    assert by_chain([top], Holder("leaf", "root"), []).signer


def test_a_chain_beyond_the_limit_is_refused() -> None:
    names = ["root", *(f"m{n}" for n in range(anchors.MAX_CHAIN - 1))]
    middles = [Holder(name, above, (CA,)) for above, name in itertools.pairwise(names)]
    assert by_chain([TOP], Holder("leaf", names[-2]), middles[:-1]).signer
    assert "no trusted root" in refusal([TOP], Holder("leaf", names[-1]), middles)


def test_authorities_that_vouch_for_each_other_lead_nowhere() -> None:
    ring = [Holder("middle", "ring", (CA,)), Holder("ring", "middle", (CA,))]
    assert "no trusted root" in refusal([TOP], LEAF, ring)


@pytest.mark.parametrize("use", [MAIL, usage(sign=True, certify=False)])
def test_a_certificate_for_signing_may_sign(use: x509.ExtensionType) -> None:
    assert by_chain([TOP, MIDDLE], Holder("leaf", "middle", (use,)), []).signer


@pytest.mark.parametrize("use", [CODE, usage(sign=False, certify=True)])
def test_a_certificate_for_something_else_may_not_sign(use: x509.ExtensionType) -> None:
    leaf = Holder("leaf", "middle", (use,))
    assert "the certificate of leaf is not for signing" in refusal([TOP, MIDDLE], leaf, [])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_each_certificate_of_a_chain_must_be_valid(place: int) -> None:
    chain = [TOP, MIDDLE, LEAF]
    one = chain[place]
    chain[place] = Holder(one.name, one.issuer, one.extensions, NOW - timedelta(hours=1))
    assert "not valid on 2026-01-01" in refusal(chain[:1], chain[2], chain[1:2])


def test_a_certificate_not_signed_with_a_strong_hash_is_refused() -> None:
    weak = MIDDLE.certificate(hashes.SHA224())
    by = Anchors((TOP.certificate(), weak))
    with pytest.raises(SignatureError, match="no trusted root"):
        check(signed(LEAF, []), by)


def test_too_many_certificates_are_refused() -> None:
    crowd = [Holder(f"m{n % 4}", "root", serial=n + 1) for n in range(9)]
    assert "not the signature of one signer" in refusal([TOP], LEAF, crowd)


def test_a_signature_with_another_kind_of_key_is_refused() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named("leaf"))
        .issuer_name(_named("root"))
        .public_key(elliptic.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key("root"), hashes.SHA256())
    )
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT)
    builder = builder.add_signer(certificate, elliptic, hashes.SHA256())
    der = builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature])
    sign = HEAD + b"230::pkcs7-pem:" + base64.b64encode(der)
    with pytest.raises(FormatError, match="not a detached PKCS#7 signature with SHA-256 and RSA"):
        check(sign, Anchors((TOP.certificate(),)))


OPTIONS = {
    "attached": [pkcs7.PKCS7Options.Binary],
    "no certificate": [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.NoCerts],
    "no attributes": [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.NoAttributes],
}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("attached", "not a PKCS#7 signature"),
        ("no certificate", "the certificate of its signer is missing"),
        ("no attributes", "not a PKCS#7 signature"),
    ],
)
def test_other_kinds_of_signature_are_refused(option: str, words: str) -> None:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT)
    builder = builder.add_signer(LEAF.certificate(), key("leaf"), hashes.SHA256())
    der = builder.sign(serialization.Encoding.DER, OPTIONS[option])
    with pytest.raises((FormatError, SignatureError)) as refused:
        check(
            HEAD + b"230::pkcs7-pem:" + base64.b64encode(der),
            Anchors((TOP.certificate(), MIDDLE.certificate())),
        )
    assert words in str(refused.value)


def test_a_signature_by_sha512_is_refused() -> None:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT)
    builder = builder.add_signer(LEAF.certificate(), key("leaf"), hashes.SHA512())
    der = builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature])
    with pytest.raises(FormatError, match="with SHA-256 and RSA"):
        check(HEAD + b"230::pkcs7-pem:" + base64.b64encode(der), Anchors((TOP.certificate(),)))
