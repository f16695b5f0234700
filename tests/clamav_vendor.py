"""A vendor who signs as ClamAV does, with keys of his own: databases, cdiffs and .sign files.

Equal arguments give equal bytes (but for .sign files, which hold the moment they were made). Pass
``VENDOR.keys`` as ``keys`` to what verifies them. The keys are these tests' alone and no secret;
like ClamAV's, the ``.info`` key has a modulus of 2047 bits.
"""

import base64
import gzip
import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
)
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keys.trust.vendor.rsa import Keys, PublicKey

_HEADER_PRIMES = (
    int(
        "e24096197b9e815d16c1c47047eea048d38bb22f57047abf234e99c4bd6328a04d23f26a3fbb06b1d119"
        "3cd89038b529a70e48732ee6040a32d2ed81e7c5c6a3",
        16,
    ),
    int(
        "d4b3dca019973136c6e8a5e923d645fe689016edc63fa0ec242c7e1293328f649f32fc50252bc16ed222"
        "414b20eb42f837dea91d661ad75dcbf4f9a27f48acb9",
        16,
    ),
)
_INFO_PRIMES = (
    int(
        "ec1eba8f49a03275747fe636272eb28ed8257d6b3ad40493028c23214b9bd58ad5413cd1a31c8580322a"
        "853b8ee0d458a7ff14ceaefafb7c25d3f8a4c358f5b4e8aff797991a4066fad7c1409ed10c914a061bc0"
        "3004b06babdb10688d99e22b7c58fbb8d51c359ccab67ea28f87057ddff4cad250e65cea703586afa85c"
        "3775",
        16,
    ),
    int(
        "7782ebcd6366ee8c8cef134585b0683b8bba5754ec3dfc444605984335e4699c94e75602c1978f907bfc"
        "a9428ebabe5b2e36df84251398a1623ab6c90a793296b65165b6cb04e38cda6ced5a879809f6ac563fa5"
        "9809d61cc51eb582b8d99e3a3e81d9018062a27d0e3e9713266e5a645e5ebdf89653544c914b71855069"
        "7ff5",
        16,
    ),
)
_CDIFF_PRIMES = (
    int(
        "fe69a5d6843f2d42564dc6c01d11efdd3662f1bef6f561ae4cb74c17ccb55574c21c140d6f8658bf7a33"
        "b5a7ceac71a67d44f3e74ad59c99d4c5baa0014123397d010ceafd239f57f8fb1222ad92b51d98b0e224"
        "f7d5464d095a72efbab743bfea3cc277bd096cf3e51044b12b6878cc5261f9ec612d3a12f3a6ecde17d2"
        "183b",
        16,
    ),
    int(
        "d04ab71bc2c632a7fd2460bae6df4023ff3779f87daa0c0bcec9b822f83a4b6164977160078a37b43bcf"
        "885cdfb99e393c59fba2057bafd9d11549b46a968512055dcec084405c573cdb122cd1aca6bd39e0e87c"
        "e93b11c62d718a5a0f9e17a95fd78c89d3e27dec48328eae59f1d7a30d00dbb1e58e19bdce549db2102d"
        "7dcd",
        16,
    ),
)
_ROOT_PRIMES = (
    int(
        "ee4ad0adee45a43b2b7d3619a72b1aacf49baa811bc1765050225dd0c8562e7172fba2d858b15f2d9f9d"
        "0cb1f51c25110db36fae721f9c98a7eca8e702e3aa270530c93d094bc134e5f35aeedac07b5625575489"
        "b162e02d00960d704b0bb7b5e4737c35f20a259bc12d40b638ccf8f3a3d0fd6d55a3ea7ae66ad2f5a796"
        "5b43",
        16,
    ),
    int(
        "c8936c3d3bfb017823f88b94754e9980334a18e7671ae6ab5a456c3b119aa6c2b4d036878531ae278c30"
        "7dd77eb438e5c1d0ad75cfdaa5cb7cfe8e99ad2608c5f39a6b70ca8b24764362620dd6b54874e173f0ee"
        "e9e94a5bec26b8e5ffcf4ba25c979668df2c72eece169b45236c8b5232c1e326d5d1b5770ee90cda8a46"
        "a9f7",
        16,
    ),
)
BUILT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COPYING = b"Free for every use.\n"
FLEVEL = 63
NOT_BEFORE = datetime(2025, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2035, 1, 1, tzinfo=UTC)

_DIGITS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
_BLOCK = 512
_HASH_BYTES = 32
_ENCODED_BYTES = 256
_MASKED_BYTES = _ENCODED_BYTES - _HASH_BYTES - 1


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key in numbers, as the raw schemes need it."""

    name: str
    primes: tuple[int, int]
    exponent: int

    @property
    def modulus(self) -> int:
        return self.primes[0] * self.primes[1]

    @property
    def private(self) -> int:
        first, second = self.primes
        return pow(self.exponent, -1, math.lcm(first - 1, second - 1))

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.name, self.modulus, self.exponent)

    def sign_raw(self, digest: bytes) -> str:
        return self._digits(int.from_bytes(digest, "big"))

    def sign_pss(self, sha256: bytes) -> str:
        """Sign as EMSA-PSS for 2047 bits; the salt follows from the digest."""
        for number in count():
            salt = hashlib.sha256(sha256 + number.to_bytes(4, "big")).digest()
            encoded = int.from_bytes(encode_pss(sha256, salt), "big")
            if encoded < self.modulus:
                return self._digits(encoded)
        raise AssertionError

    def _digits(self, message: int) -> str:
        return digits(self._power(message), self.public.max_digits)

    def _power(self, message: int) -> int:
        """Raise to the private exponent, by each prime alone (RFC 8017, 5.1.2)."""
        p, q = self.primes
        by_p, by_q = (pow(message, self.private % (n - 1), n) for n in (p, q))
        return by_q + q * ((by_p - by_q) * pow(q, -1, p) % p)

    def library_key(self) -> RSAPrivateKey:
        """Give the same primes to the library, with the usual exponent."""
        (p, q), e = self.primes, 65537
        d = pow(e, -1, math.lcm(p - 1, q - 1))
        public = RSAPublicNumbers(e, p * q)
        parts = (rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), rsa_crt_iqmp(p, q))
        return RSAPrivateNumbers(p, q, d, *parts, public).private_key()


def digits(number: int, length: int) -> str:
    """Write a number in ClamAV's digits, exactly so many."""
    return "".join(_DIGITS[number >> 6 * place & 63] for place in range(length))


def encode_pss(sha256: bytes, salt: bytes) -> bytes:
    """Encode a digest for signing (RFC 8017, 9.1.1) for 2047 bits."""
    hashed = hashlib.sha256(bytes(8) + sha256 + salt).digest()
    block = (b"\x01" + salt).rjust(_MASKED_BYTES, b"\0")
    rounds = (hashlib.sha256(hashed + n.to_bytes(4, "big")).digest() for n in range(7))
    mask = b"".join(rounds)[:_MASKED_BYTES]
    masked = bytearray(a ^ b for a, b in zip(block, mask, strict=True))
    masked[0] &= 0x7F
    return bytes(masked) + hashed + b"\xbc"


@dataclass(frozen=True, slots=True)
class Issue:
    """One version of a database, before it is signed."""

    database: str = "daily"
    version: int = 1
    members: tuple[tuple[str, bytes], ...] = ()
    flevel: int = FLEVEL
    built: datetime = BUILT
    copying: bytes = COPYING
    signatures: int | None = None  # None: the lines of all members

    @property
    def count(self) -> int:
        if self.signatures is not None:
            return self.signatures
        return sum(content.count(b"\n") for _, content in self.members)

    def header(self, md5: str = "X", dsig: str = "X") -> str:
        time = f"{self.built:%d %b %Y %H-%M %z}"
        numbers = f"{self.version}:{self.count}:{self.flevel}"
        return f"ClamAV-VDB:{time}:{numbers}:{md5}:{dsig}:tester:{int(self.built.timestamp())}"


class Vendor:
    """Who signs; each method gives whole files."""

    header = KeyPair("test database key", _HEADER_PRIMES, 100001027)
    infos = KeyPair("test .info key", _INFO_PRIMES, 100002049)
    cdiffs = KeyPair("test cdiff key", _CDIFF_PRIMES, 100002053)

    @property
    def keys(self) -> Keys:
        return Keys(self.header.public, self.infos.public, self.cdiffs.public)

    def info(self, issue: Issue) -> bytes:
        lines = [issue.header()]
        for name, content in issue.members:
            lines.append(f"{name}:{len(content)}:{hashlib.sha256(content).hexdigest()}")
        text = "".join(f"{line}\n" for line in lines).encode()
        return text + f"DSIG:{self.infos.sign_pss(hashlib.sha256(text).digest())}\n".encode()

    def contents(self, issue: Issue) -> list[tuple[str, bytes]]:
        """List a database's files in their order: COPYING, the .info, the members."""
        info = (f"{issue.database}.info", self.info(issue))
        return [("COPYING", issue.copying), info, *issue.members]

    def cvd(self, issue: Issue) -> bytes:
        return self.packed(issue, clamav_tar(self.contents(issue)))

    def packed(self, issue: Issue, tar: bytes) -> bytes:
        """Make a CVD of any tar, signed as the vendor signs headers."""
        return self.sealed(issue, gzip.compress(tar, 6, mtime=0))

    def sealed(self, issue: Issue, body: bytes) -> bytes:
        """Make a CVD of any bytes after a header that is signed for them."""
        md5 = hashlib.md5(body, usedforsecurity=False)
        header = issue.header(md5.hexdigest(), self.header.sign_raw(md5.digest()))
        return header.encode().ljust(_BLOCK) + body

    def cdiff(self, version: int, script: bytes) -> bytes:
        head = f"ClamAV-Diff:{version}:{len(script)}:".encode()
        return self.sealed_cdiff(head + gzip.compress(script, mtime=0))

    def sealed_cdiff(self, covered: bytes) -> bytes:
        """Sign any bytes as a cdiff."""
        return covered + f":{self.cdiffs.sign_pss(hashlib.sha256(covered).digest())}".encode()

    def cdiff_between(self, old: Issue, new: Issue) -> bytes:
        """Make the cdiff that appends what is new; the old members must begin the new ones."""
        return self.cdiff(new.version, b"".join(self._script(old, new)))

    def _script(self, old: Issue, new: Issue) -> Iterator[bytes]:
        before, after = dict(self.contents(old)[1:]), dict(self.contents(new)[1:])
        for name, content in after.items():
            known = before.get(name, b"")
            yield b"OPEN " + name.encode() + b"\n"
            if content.startswith(known):
                yield from _added(content[len(known) :])
            else:
                for number, line in enumerate(known.splitlines(), start=1):
                    yield b"DEL %d %s\n" % (number, line[:16].partition(b" ")[0])
                yield from _added(content)
            yield b"CLOSE\n"
        for name in before.keys() - after.keys():
            yield b"UNLINK " + name.encode() + b"\n"

    def certificates(self, folder: Path) -> Path:
        """Write the root that .sign files chain to into a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        pem = _root().public_bytes(serialization.Encoding.PEM)
        (folder / "root.crt").write_bytes(pem)
        return folder

    def sign(self, content: bytes, flevels: str = "230:") -> bytes:
        return b"#clamsign-1.0\n" + self.sign_line(content, flevels)

    def sign_line(self, content: bytes, flevels: str = "230:") -> bytes:
        """Make one line of a .sign file."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
        builder = builder.add_signer(_leaf(), self.cdiffs.library_key(), hashes.SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        der = builder.sign(serialization.Encoding.DER, options)
        return f"{flevels}:pkcs7-pem:{base64.b64encode(der).decode()}\n".encode()


def _added(content: bytes) -> Iterator[bytes]:
    for line in io.BytesIO(content):
        yield b"ADD " + line


def clamav_tar(contents: list[tuple[str, bytes]]) -> bytes:
    """Write a tar as ClamAV's programs do."""
    return b"".join(block(name, content) for name, content in contents)


def block(name: str, content: bytes, *, kind: bytes = b"\0", size: bytes = b"") -> bytes:
    """Write one member as ClamAV's programs do, or with another type or size."""
    head = bytearray(_BLOCK)
    length = size or f"{len(content):o}".encode()
    for place, field in ((0, name.encode()), (124, length), (156, kind)):
        head[place : place + len(field)] = field
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0\0".encode()
    return bytes(head) + content + bytes(-len(content) % _BLOCK)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


_ROOT_NAME = _name("Test vendor root")
_ROOT = KeyPair("root", _ROOT_PRIMES, 65537)


def _root() -> x509.Certificate:
    key = _ROOT.library_key()
    builder = _certificate(_ROOT_NAME, key, serial=1)
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256())


def _leaf() -> x509.Certificate:
    builder = _certificate(_name("Test vendor signer"), Vendor.cdiffs.library_key(), serial=2)
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    signed = builder.add_extension(uses, critical=True)
    return signed.sign(_ROOT.library_key(), hashes.SHA256())


def _certificate(subject: x509.Name, key: RSAPrivateKey, *, serial: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_ROOT_NAME)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
    )


VENDOR = Vendor()


def issue(version: int = 1, **members: str) -> Issue:
    """Describe a version of ``daily`` with members by extension: ``issue(2, hdb="…")``."""
    named = tuple((f"daily.{kind}", text.encode()) for kind, text in members.items())
    return Issue(version=version, members=named, built=BUILT + timedelta(hours=version))
