import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import DigestError, LimitError, NameRefusedError, TrustError
from keys.model import release
from keys.model.release import Assurance, File, Manifest, Pin, Pointer, Provenance

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SHA = "ab" * 32
HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
FILES = st.lists(
    st.builds(
        File,
        path=st.from_regex(r"[a-z]{1,8}/[a-z0-9]{1,12}\.yar", fullmatch=True),
        sha256=HEX,
        length=st.integers(0, 1 << 40),
    ),
    unique_by=lambda file: file.path,
    max_size=30,
).map(tuple)


def manifest() -> Manifest:
    return Manifest(
        format=1,
        channel="inhouse",
        sequence=7,
        release="2026-11-23",
        published=datetime(2026, 11, 23, tzinfo=UTC),
        vendor_time=None,
        assurance=Assurance.signed,
        engine="yara",
        provenance=Provenance(upstream="drop"),
        file_list=Pin(SHA, 12),
    )


def test_a_manifest_survives_the_wire_and_encodes_the_same_each_time() -> None:
    data = release.encode(manifest())
    assert release.decode(data, Manifest, "manifest") == manifest()
    assert release.encode(release.decode(data, Manifest, "manifest")) == data


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param((b'"sequence":7', b'"sequence":0'), "sequence", id="sequence 0"),
        pytest.param((b'"format":1', b'"format":2'), "format", id="a later format"),
        pytest.param((b'"format":1', b'"format":1,"x":1'), "x", id="unknown field"),
        pytest.param((b"00Z", b"00"), "published", id="time without a zone"),
        pytest.param((b'"signed"', b'"sworn"'), "assurance", id="unknown assurance"),
        pytest.param((SHA.encode(), SHA.upper().encode()), "sha256", id="upper-case hash"),
        pytest.param((b"{", b"["), "", id="not an object"),
    ],
)
def test_a_malformed_manifest_is_refused_with_the_fields_name(
    change: tuple[bytes, bytes], reason: str
) -> None:
    data = release.encode(manifest()).replace(*change, 1)
    with pytest.raises(TrustError, match=f"manifest 7: .*{reason}"):
        release.decode(data, Manifest, "manifest 7")


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        release.decode(data, Pointer, "pointer")
    except TrustError:
        return


@given(FILES)
def test_a_file_list_survives_the_wire_in_any_order(files: tuple[File, ...]) -> None:
    data = release.encode_file_list(files)
    assert data == release.encode_file_list(files[::-1])
    try:
        assert release.decode_file_list(data, "list") == tuple(sorted(files, key=lambda f: f.path))
    except NameRefusedError:
        assert len({f.path.casefold() for f in files}) <= len(files)


def test_a_file_list_that_escapes_the_folder_is_refused() -> None:
    data = release.encode_file_list((File("../../etc/cron.d/x", SHA, 1),))
    with pytest.raises(NameRefusedError):
        release.decode_file_list(data, "list")


def test_a_compressed_bomb_is_cut_off_at_the_named_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "MAX_FILE_LIST_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="MAX_FILE_LIST_BYTES=1048576"):
        release.decode_file_list(zstd.compress(b" " * (8 << 20)), "list")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[]", id="not compressed"),
        pytest.param(zstd.compress(b"[]")[:-1], id="truncated"),
        pytest.param(zstd.compress(b"[]") + b"x", id="more behind it"),
    ],
)
def test_a_file_list_that_is_not_one_whole_frame_is_refused(data: bytes) -> None:
    with pytest.raises(TrustError):
        release.decode_file_list(data, "list")


def test_pinned_bytes_are_the_only_ones_accepted() -> None:
    pin = Pin.of(b"abc")
    assert pin.check(b"abc", "blob") == b"abc"
    for other in (b"abd", b"ab", b""):
        with pytest.raises(DigestError, match="blob: "):
            pin.check(other, "blob")


def test_a_files_published_name_can_never_be_the_file_lists() -> None:
    listed = release.file_list_target("kam", 3)
    assert listed == "kam/files/@list/3.json.zst"
    assert release.file_target("kam", "@list/3.json.zst") == "kam/files/@40list/3.json.zst"


def test_a_blob_lies_in_its_targets_folder_under_its_hash() -> None:
    assert release.blob_name("kam/files/a/b.cf", SHA) == f"kam/files/a/{SHA}.b.cf"
    assert release.blob_name("top.json", SHA) == f"{SHA}.top.json"
