"""ClamAV's RSA schemes and the public keys its programs carry.

A signature is text: digits of ``a-z A-Z 0-9 + /``, six bits each, least significant first
(``cli_ndecode`` in libclamav/dsig.c). A header is signed raw: ``signature ** e mod n`` is the MD5
itself. ``.info`` and cdiff are signed with RSA-PSS (RFC 8017, 9.1.2; SHA-256, MGF1 with SHA-256, a
salt of 32 bytes), encoded for 2047 bits whatever the modulus has. The vendor's moduli have 2047
bits themselves, so a library, which encodes for one bit less than the modulus, refuses half of
his signatures: that is why the few lines of it stand here.
"""

import hashlib
import hmac
from dataclasses import dataclass

from keys.errors import SignatureError

_DIGITS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_BITS = 6
_HASH_BYTES = 32
_ENCODED_BYTES = 256
_MASKED_BYTES = _ENCODED_BYTES - _HASH_BYTES - 1
_TOP_BIT = 1 << 8 * _MASKED_BYTES - 1
_ZEROS_AND_ONE = bytes(_MASKED_BYTES - _HASH_BYTES - 1) + b"\x01"
_LAST_BYTE = b"\xbc"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An RSA public key; ``name`` tells people which."""

    name: str
    modulus: int
    exponent: int

    @property
    def max_digits(self) -> int:
        """The digits a signature by this key may have as text."""
        return -(-self.modulus.bit_length() // _BITS)


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs databases: their headers, the ``.info`` inside, and cdiffs."""

    header: PublicKey
    info: PublicKey
    cdiff: PublicKey


CLAMAV = Keys(
    # CLI_NSTR, CLI_ESTR in libclamav/dsig.c
    header=PublicKey(
        "ClamAV database key",
        int(
            "11864099555164534260307000165845318975152777441202774374659940574324314260746414476736"
            "10606406558447497607888900222834249227624889175655510024677711096695981894104346990345"
            "32232228621591089508178591428456220796841621637175567590476666928698770143328137383952"
            "820383197532047771780196576957695822641224262693037"
        ),
        100001027,
    ),
    # INFO_NSTR, INFO_ESTR in libclamav/readdb.c
    info=PublicKey(
        "ClamAV .info key",
        int(
            "11088894983048545473659556106627194923928941791795047620591658697413581043322715912172"
            "49680652538105588096452061840022433332053466029923398375534174067950286682990967995573"
            "43913926683783612215242053966310901051516412708572770803107343209516537005089417174191"
            "68723942507890702904702707587451621691050754307850383399865346487203798464178537392211"
            "40278648135982446119723110289541509377039421666632448459393576240846851682663319214082"
            "66679234948220458053478099328484548458869717064243605586678627758760720594377033653802"
            "09101697738577515476935085469455279994113145977994084618328482151013142393373316337519"
            "977244732747977"
        ),
        100002049,
    ),
    # PUBLIC_KEY_MODULUS, PUBLIC_KEY_EXPONENT in libclamav_rust/src/cdiff.rs
    cdiff=PublicKey(
        "ClamAV cdiff key",
        int(
            "14783905874077467090262228516557917570254599638376203532031989214105552847269687489771"
            "97579212344218581728769495194980090879152754201711560050130339477861853586484523570004"
            "15900563182301024496122174585490160893133065913885907907965158196541023207257123008223"
            "56348724011232654837503241736177907784198700834440681124727060540035754699658105895050"
            "09657622675300859688169882818565242490192166875832657846200324790647098209229810678965"
            "72119054889862810783463614695244848295595608862271980919954984406766396398304635932113"
            "86055065360288422394053998134458623712540683294034953818412458362198117811990006021989"
            "844180721010947"
        ),
        100002053,
    ),
)


def verify_raw(key: PublicKey, digest: bytes, signature: str, what: str) -> None:
    """Check that a signature yields the digest and nothing above it.

    Raises:
        SignatureError: it does not; the message names ``what``.

    """
    number = _decoded(key, signature, what)
    if pow(number, key.exponent, key.modulus) != int.from_bytes(digest, "big"):
        raise SignatureError(f"{what}: not signed by the {key.name}")


def verify_pss(key: PublicKey, sha256: bytes, signature: str, what: str) -> None:
    """Check a PSS signature over a SHA-256 digest.

    Raises:
        SignatureError: it does not hold; the message names ``what``.

    """
    number = pow(_decoded(key, signature, what), key.exponent, key.modulus)
    encoded = number.to_bytes(-(-key.modulus.bit_length() // 8), "big")
    if not _is_encoded(sha256, encoded):
        raise SignatureError(f"{what}: not signed by the {key.name}")


def _is_encoded(sha256: bytes, encoded: bytes) -> bool:
    """Undo the encoding of a digest (EMSA-PSS-VERIFY)."""
    masked, rest = encoded[:_MASKED_BYTES], encoded[_MASKED_BYTES:]
    hashed, last = rest[:_HASH_BYTES], rest[_HASH_BYTES:]
    if len(encoded) != _ENCODED_BYTES or last != _LAST_BYTE:
        return False
    mask = int.from_bytes(_mgf1(hashed), "big")
    number = (int.from_bytes(masked, "big") ^ mask) & (_TOP_BIT - 1)
    block = number.to_bytes(_MASKED_BYTES, "big")
    salt = block[-_HASH_BYTES:]
    expected = hashlib.sha256(bytes(8) + sha256 + salt).digest()
    begins_well = block[:-_HASH_BYTES] == _ZEROS_AND_ONE
    return begins_well and hmac.compare_digest(expected, hashed)


def _mgf1(seed: bytes) -> bytes:
    rounds = range(-(-_MASKED_BYTES // _HASH_BYTES))
    mask = b"".join(hashlib.sha256(seed + n.to_bytes(4, "big")).digest() for n in rounds)
    return mask[:_MASKED_BYTES]


def _decoded(key: PublicKey, signature: str, what: str) -> int:
    """Read a signature's number; the number must be the only one that means what it means."""
    if not 0 < len(signature) <= key.max_digits or not _VALUES.keys() >= set(signature):
        raise SignatureError(f"{what}: its signature is not a number in ClamAV's digits")
    number = sum(_VALUES[digit] << _BITS * place for place, digit in enumerate(signature))
    if number >= key.modulus:
        raise SignatureError(f"{what}: its signature is not below the modulus")
    return number
