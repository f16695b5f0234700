"""What bytes are when they are not what they should be, in a few words for an operator."""

import re

HEAD_BYTES = 4096

_MAX_QUOTED = 60
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,300})<", re.IGNORECASE)
_MAGIC = (
    (b"version https://git-lfs.github.com/", "a git LFS pointer instead of the file"),
    (b"ClamAV-VDB:", "a ClamAV database"),
    (b"ClamAV-Diff:", "a ClamAV cdiff"),
    (b"#clamsign-", "a ClamAV .sign file"),
    (b"\x1f\x8b", "gzip data"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program (ELF)"),
    (b"-----BEGIN PGP SIGNATURE", "an OpenPGP signature"),
    (b"-----BEGIN PGP PUBLIC KEY", "an OpenPGP public key"),
    (b"-----BEGIN CERTIFICATE", "a certificate"),
    (b"untrusted comment:", "a minisign signature or key"),
    (b"HTTP/1.", "an HTTP answer with its headers"),
)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")


def describe(head: bytes) -> str:
    """Say what bytes look like by their beginning; ``HEAD_BYTES`` of it are plenty."""
    if not head:
        return "empty (0 bytes)"
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    return _text(head) or f"unknown binary data beginning {head[:8].hex()}"


def _text(head: bytes) -> str:
    """Describe text; "" if it is none."""
    plain = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not plain:
        return "nothing but blanks"
    if b"\x00" in head:
        return "nothing but zero bytes" if not head.strip(b"\x00") else ""
    lower = plain[:HEAD_BYTES].lower()
    if any(lower.startswith(tag) for tag in _HTML) or _TITLE.search(plain):
        return _page(plain)
    if plain[:1] in b"{[":
        return f"JSON: {_quoted(plain)}"
    if plain.startswith(b"<?xml"):
        return f"XML: {_quoted(plain)}"
    return f"text beginning {_quoted(plain)}" if _is_printable(plain[:_MAX_QUOTED]) else ""


def _page(plain: bytes) -> str:
    title = _TITLE.search(plain)
    return f"an HTML page titled {_quoted(title[1])}" if title else "an HTML page"


def _is_printable(data: bytes) -> bool:
    return data.decode("utf-8", "ignore").replace("\n", " ").replace("\t", " ").isprintable()


def _quoted(data: bytes) -> str:
    """Quote the first words on one line, without anything a terminal would act on."""
    words = " ".join(data[: 4 * _MAX_QUOTED].decode("utf-8", "replace").split())
    safe = "".join(letter if letter.isprintable() else "?" for letter in words)
    is_cut = len(data) > 4 * _MAX_QUOTED or len(safe) > _MAX_QUOTED
    return repr(f"{safe[:_MAX_QUOTED]}…" if is_cut else safe)
