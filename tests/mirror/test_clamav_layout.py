"""Names of a ClamAV mirror, its TXT record, and a resolver's address: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SettingsError
from mirror.upstream.clamav import layout
from mirror.upstream.clamav.layout import CdiffName
from mirror.upstream.txt import Resolver

DATABASES = st.from_regex(r"[a-z0-9][a-z0-9_]{0,20}", fullmatch=True)
VERSIONS = st.integers(1, layout.MAX_VERSION)
RECORD = "0.103.12:62:27500:1772366400:0:90:49192:339"


def test_the_record_tells_the_versions_it_has_fields_for() -> None:
    found = layout.read_record(RECORD, ["main", "daily", "bytecode", "test"])
    assert found == {"main": 62, "daily": 27500, "bytecode": 339}


@given(st.text(max_size=100))
def test_no_record_is_believed_beyond_its_numbers(text: str) -> None:
    found = layout.read_record(text, layout.RECORD_FIELDS)
    assert all(0 < version <= layout.MAX_VERSION for version in found.values())


@given(st.dictionaries(DATABASES, VERSIONS, max_size=5))
def test_versions_that_were_told_are_read_back(versions: dict[str, int]) -> None:
    assert layout.told(layout.tell(versions)) == versions


@given(st.text(max_size=100))
def test_anything_else_tells_no_versions(text: str) -> None:
    assert all(layout.is_database_name(name) or "_" in name for name in layout.told(text))


@given(DATABASES, VERSIONS)
def test_a_cdiffs_name_is_read_back(name: str, version: int) -> None:
    assert CdiffName.parse(str(CdiffName(name, version))) == CdiffName(name, version)


@given(st.text(max_size=40))
def test_a_name_that_is_no_cdiffs_is_none(text: str) -> None:
    found = CdiffName.parse(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("", "", 53),
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("2001:db8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
    ],
)
def test_a_resolver_is_an_address_with_or_without_a_port(
    text: str, address: str, port: int
) -> None:
    assert Resolver.parse(text) == Resolver(address, port)


@pytest.mark.parametrize(
    "text", ["ns.example", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", "[::1", "1:2:3", "[]:5"]
)
def test_what_is_no_resolver_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="resolver"):
        Resolver.parse(text)


@given(st.text(max_size=30))
def test_no_text_breaks_the_reading_of_a_resolver(text: str) -> None:
    try:
        assert 0 < Resolver.parse(text).port < 65536
    except SettingsError:
        return
