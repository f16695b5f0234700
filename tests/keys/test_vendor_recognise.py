"""What bytes are said to be when they are not what they should be."""

import gzip
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.trust.vendor.recognise import HEAD_BYTES, describe
from tests.clamav_vendor import VENDOR, issue
from tests.real_data import real_data


def zipped() -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("a", "b")
    return packed.getvalue()


KNOWN = {
    "nothing": (b"", "empty (0 bytes)"),
    "blanks": (b" \r\n\t", "nothing but blanks"),
    "zeros": (bytes(600), "nothing but zero bytes"),
    "page": (b"<!DOCTYPE html>\n<html>", "an HTML page"),
    "page with a title": (
        b"\xef\xbb\xbf <HTML><head><TITLE>\n Access\n denied </title>",
        "an HTML page titled 'Access denied'",
    ),
    "page without a beginning": (b"<!-- x --><title>502</title>", "an HTML page titled '502'"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a git LFS pointer instead of the file",
    ),
    "json": (b'{"message": "quota"}', 'JSON: \'{"message": "quota"}\''),
    "list": (b"[]", "JSON: '[]'"),
    "xml": (
        b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
        "XML: '<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>'",
    ),
    "text": (b"Too many requests\nlater", "text beginning 'Too many requests later'"),
    "long text": (b"abc " * 99, "text beginning '" + "abc " * 15 + "…'"),
    "gzip": (gzip.compress(b""), "gzip data"),
    "zip": (zipped(), "a zip archive"),
    "cvd": (VENDOR.cvd(issue()), "a ClamAV database"),
    "cdiff": (VENDOR.cdiff(2, b""), "a ClamAV cdiff"),
    "sign": (b"#clamsign-1.0\n", "a ClamAV .sign file"),
    "answer": (b"HTTP/1.1 200 OK\r\n\r\n", "an HTTP answer with its headers"),
    "other": (b"\x01\x02\xff\xfe\x00", "unknown binary data beginning 0102fffe00"),
}


@pytest.mark.parametrize(("data", "words"), KNOWN.values(), ids=KNOWN.keys())
def test_what_comes_instead_of_a_file_is_named(data: bytes, words: str) -> None:
    assert describe(data) == words


def test_what_a_user_saved_as_a_database_is_named() -> None:
    page = real_data("clamav/not-a-database/daily.cvd").read_bytes()
    assert describe(page[:HEAD_BYTES]).startswith("an HTML page titled 'Attention Required!")
    pointer = real_data("clamav/not-a-database/main.cvd").read_bytes()
    assert describe(pointer) == "a git LFS pointer instead of the file"


def test_nothing_a_terminal_would_act_on_is_quoted() -> None:
    for data in (b"<title>\x1b[2J\x07</title>", b'{"\x1b]0;x\x07": 1}'):
        assert describe(data).isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_are_described_in_one_short_printable_line(data: bytes) -> None:
    for head in (data, b"<html>" + data, b"{" + data, b"<title>" + data + b"</title>"):
        said = describe(head)
        assert said.isprintable()
        assert 0 < len(said) < 200
