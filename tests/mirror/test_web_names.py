"""Which URLs name an object, and which bytes a range asks for: any input, no harm."""

import posixpath
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from keys.model.release import Pin, blob_name, file_list_target, file_target, manifest_target
from mirror.web import ranges
from mirror.web.layout import Kind, place

SHA = Pin.of(b"a").sha256
PIECES = st.sampled_from(
    ["r", "site", "metadata", "targets", "..", ".", "", "%2e%2e", "%2f", "a", "files", "@list",
     "timestamp.json", "1.root.json", f"{SHA}.x", ".tmp-1", "%00", "\\", "policy", "tracks"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(PIECES, max_size=10).map("/".join)).map("/{}".format))
def test_whatever_is_asked_stays_inside_a_repository(raw: str) -> None:
    found = place(raw)
    if found is None:
        return
    name = f"r/{found.repository}/{found.name}"
    assert posixpath.normpath(name) == name
    assert name.startswith(("r/", f"r/{found.repository}/"))
    assert not any(segment.startswith(".") for segment in name.split("/"))
    assert found.name.startswith(("metadata/", "targets/"))


@given(
    st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4),
)
def test_every_file_of_a_release_has_a_url_and_is_gated(segments: list[str]) -> None:
    path = "/".join(segments)
    try:
        target = file_target("inhouse", path)
    except Exception:  # noqa: BLE001 - a path no release may hold
        return
    name = f"targets/{blob_name(target, SHA)}"
    for url in (f"/r/site/{name}", quote(f"/r/site/{name}")):
        found = place(url)
        assert found is not None
        assert (found.name, found.kind, found.sha256) == (name, Kind.blob, SHA)
        assert found.channel == "inhouse"


def test_signed_documents_are_for_everybody() -> None:
    for target in (
        manifest_target("inhouse", 1),
        "inhouse/tracks/stable.json",
        "policy/acme/rules.json",
        file_list_target("inhouse", 1),
    ):
        found = place(f"/r/site/targets/{blob_name(target, SHA)}")
        assert found is not None
        assert found.kind is Kind.document


@given(st.one_of(st.text(), st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True)),
       st.integers(0, 5000))  # fmt: skip
def test_a_range_lies_inside_the_object(header: str, length: int) -> None:
    offsets = ranges.wanted(header, length)
    if offsets:
        assert 0 <= offsets.start < offsets.stop <= length


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_a_range_is_what_python_slices(first: int, last: int, length: int) -> None:
    data = bytes(n % 256 for n in range(length))
    offsets = ranges.wanted(f"bytes={first}-{last}", length)
    if last < first:
        assert offsets is None
    else:
        assert offsets is not None
        assert bytes(data[n] for n in offsets) == data[first : last + 1]
