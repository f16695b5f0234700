"""A vendor's databases on a host: who holds the mirror's keys cannot change them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.trust.vendor.cvd import expand_cvd
from tests.real_data import real_data
from tests.tuf_repository import ChannelRepository
from tests.updater.clamd_host import Command
from tests.updater.clamd_process import need_clamd, short_folder
from tests.updater.site import ScannerHost, Site, engine_settings, served
from updater.quarantine import Cause

RULES = {"rules.db": b"one:one!\n"}
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a", "b")) as serving:
        yield serving


@pytest.fixture
def host(tmp_path: Path, site: Site) -> ScannerHost:
    return ScannerHost(tmp_path, site)


def genuine(number: int = 3) -> bytes:
    """A genuine test database as its vendor signed it."""
    return real_data(f"clamav/testdb/test-{number}.cvd").read_bytes()


def canonical(number: int = 3) -> bytes:
    """The .cld it expands to."""
    target = io.BytesIO()
    expand_cvd(io.BytesIO(genuine(number)), target, "test.cvd")
    return target.getvalue()


def changed(data: bytes) -> bytes:
    """One bit of its last member is another one."""
    at = len(data) - 2048
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_genuine_database_is_installed(host: ScannerHost, site: Site) -> None:
    files = {**RULES, "test.cld": canonical(), "old.cvd": genuine(1)}
    site.repository.release("a", files, sequence=1)
    assert host.run().exit_code == 0
    assert host.sequences() == {"a": 1}


@pytest.mark.parametrize("name", ["test.cld", "test.cvd"])
def test_a_database_changed_by_who_holds_the_mirrors_keys_is_refused(
    name: str, host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", RULES, sequence=1)
    host.run()
    data = changed(genuine() if name == "test.cvd" else canonical())
    site.repository.release("a", {"rules.db": b"two:two!\n", name: data}, sequence=2)
    report = host.run()
    assert report.exit_code == 3
    message = report.all_troubles[0].message
    assert "channel a: release 2 is refused" in message
    assert name in message
    assert host.sequences() == {"a": 1}
    assert host.engine().detects("one!")


def test_a_page_under_a_databases_name_is_refused_by_what_it_is(
    host: ScannerHost, site: Site
) -> None:
    page = b"<html><title>Attention Required! | Cloudflare</title></html>"
    site.repository.release("a", {**RULES, "daily.cvd": page}, sequence=1)
    report = host.run()
    assert report.exit_code == 3
    assert "daily.cvd: not a CVD but an HTML page" in report.all_troubles[0].message
    assert host.sequences() == {}


def test_a_refused_release_is_in_quarantine_and_not_tried_again(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", RULES, sequence=1)
    host.run()
    site.repository.release("a", {"test.cld": changed(canonical())}, sequence=2)
    host.run()
    (entry,) = host.place().quarantine.load().entries
    assert entry.cause is Cause.vendor
    report = host.run()
    assert (report.exit_code, report.all_troubles) == (0, ())
    assert "test.cld" in report.engines[0].held[0]
    site.repository.release("a", {"test.cld": canonical()}, sequence=3)
    assert host.run().exit_code == 0
    assert host.sequences() == {"a": 3}


def test_another_channel_goes_on(tmp_path: Path, site: Site) -> None:
    host = ScannerHost(tmp_path, site, scanner=engine_settings("scanner", "a", "b"))
    site.repository.release("a", {"test.cld": changed(canonical())}, sequence=1)
    site.repository.release("b", RULES, sequence=1)
    report = host.run()
    assert (report.exit_code, host.sequences()) == (3, {"b": 1})


def test_bytes_that_came_under_another_name_are_checked_when_they_become_a_database(
    host: ScannerHost, site: Site
) -> None:
    data = changed(canonical())
    site.repository.release("a", {**RULES, "notes.txt": data}, sequence=1)
    assert host.run().exit_code == 0
    site.repository.release("a", {**RULES, "test.cld": data}, sequence=2)
    assert host.run().exit_code == 3
    assert host.sequences() == {"a": 1}


def test_what_is_in_force_already_is_not_asked_about_again(tmp_path: Path, site: Site) -> None:
    host = ScannerHost(tmp_path, site, scanner=engine_settings("scanner", "a", vendor_check=False))
    data = changed(canonical())
    site.repository.release("a", {**RULES, "test.cld": data}, sequence=1)
    assert host.run().exit_code == 0
    host.engine_settings["scanner"] = engine_settings("scanner", "a")
    site.repository.release("a", {"rules.db": b"two:two!\n", "test.cld": data}, sequence=2)
    assert host.run().exit_code == 0
    site.repository.release("a", {**RULES, "other.cvd": data}, sequence=3)
    assert host.run().exit_code == 3
    assert host.sequences() == {"a": 2}


def test_the_canonical_form_of_a_genuine_database_detects_in_a_real_clamd(site: Site) -> None:
    need_clamd()
    with short_folder() as folder:
        host = Command(folder, site)
        site.repository.release("a", {"test.cld": canonical()}, sequence=1)
        host("run", "--install-only")
        host.clamd.start()
        try:
            host("prove")
            assert host.clamd.finds(EICAR)
            site.repository.release("a", {"test.cld": changed(canonical())}, sequence=2)
            assert "test.cld" in host("run", code=3)
            told = json.loads(host("status", "--json"))["engines"][0]["in_force"]
            assert (told["releases"]["a"]["sequence"], told["proof"]) == (1, "proven")
            assert host.clamd.finds(EICAR)
        finally:
            host.clamd.stop()
