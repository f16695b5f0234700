"""A run over a host, from a served repository to engines that prove what they read."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys.model.release import Content
from tests.tuf_repository import ChannelRepository
from tests.updater.site import Answer, ScannerHost, Site, engine_settings, served
from updater.state import Proved


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a", "b")) as serving:
        yield serving


@pytest.fixture
def host(tmp_path: Path, site: Site) -> ScannerHost:
    return ScannerHost(tmp_path, site)


def rules(*names: str, file: str = "rules.db") -> dict[str, bytes]:
    return {file: "".join(f"{name}:{name}!\n" for name in names).encode()}


def test_a_first_run_installs_and_proves(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome) == (0, "installed")
    assert report.engines[0].proof is Proved.proven
    assert host.engine().detects("one!")


def test_a_run_that_finds_nothing_new_makes_two_requests_and_proves(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.requests.clear()
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome, report.requests) == (0, "kept", 2)
    assert report.engines[0].proof is Proved.proven
    assert site.requests == ["/r/site/metadata/2.root.json", "/r/site/metadata/timestamp.json"]


def test_the_next_release_replaces_the_one_before(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.repository.release("a", rules("two"), sequence=2)
    assert host.run().exit_code == 0
    assert host.engine().detects("two!")
    assert not host.engine().detects("one!")


def test_a_track_that_points_lower_is_followed_to_the_kept_generation(
    host: ScannerHost, site: Site
) -> None:
    for sequence, name in ((1, "one"), (2, "two")):
        site.repository.release("a", rules(name), sequence=sequence)
        host.run()
    site.repository.point("a", "stable", 1)
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome) == (0, "went_back")
    assert report.engines[0].generation == 1
    assert host.engine().detects("one!")


def test_a_flipped_byte_is_refused_by_name_and_nothing_moves(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.repository.release("a", rules("two"), sequence=2)

    def flipped(path: str) -> Answer | None:
        return (200, {}, b"two:twoX\n") if path.endswith(".rules.db") else None

    site.override = flipped
    report = host.run()
    assert report.exit_code == 3
    assert "rules.db" in report.all_troubles[0].message
    assert host.sequences() == {"a": 1}
    assert report.engines[0].proof is Proved.proven


def test_a_release_the_loader_refuses_never_comes_into_force(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.repository.release("a", {**rules("two"), "bad.db": b"nonsense\n"}, sequence=2)
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome) == (5, "refused")
    assert "bad.db" in report.all_troubles[0].message
    assert host.sequences() == {"a": 1}


def test_a_quarantined_release_is_not_fetched_again_and_the_next_one_is_taken(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.repository.release("a", {"bad.db": b"nonsense\n"}, sequence=2)
    host.run()
    site.requests.clear()
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome) == (0, "kept")
    assert "quarantine" in report.engines[0].held[0]
    assert not [path for path in site.requests if "bad.db" in path]
    site.repository.release("a", rules("three"), sequence=3)
    assert host.run().exit_code == 0
    assert host.sequences() == {"a": 3}


def test_one_channel_that_cannot_be_had_does_not_stop_the_other(tmp_path: Path, site: Site) -> None:
    host = ScannerHost(tmp_path, site, scanner=engine_settings("scanner", "a", "b"))
    site.repository.release("a", rules("one"), sequence=1)
    site.repository.release("b", rules("other", file="other.db"), sequence=1)
    host.run()
    site.repository.release("a", rules("two"), sequence=2)
    site.repository.release("b", rules("another", file="other.db"), sequence=2)
    site.override = lambda path: (500, {}, b"") if path.endswith(".rules.db") else None
    report = host.run()
    assert report.exit_code == 1
    assert host.sequences() == {"a": 1, "b": 2}
    site.override = lambda _: None
    assert host.run().exit_code == 0
    assert host.sequences() == {"a": 2, "b": 2}


@pytest.mark.parametrize("content", ["programs", "documents"])
def test_a_channel_of_programs_or_documents_is_refused_by_name_and_never_installed(
    tmp_path: Path, site: Site, content: Content
) -> None:
    host = ScannerHost(tmp_path, site, scanner=engine_settings("scanner", "a", "b"))
    site.repository.release("a", rules("one"), sequence=1)
    site.repository.release("b", {"setup.db": b"program\n"}, sequence=1, content=content)
    report = host.run()
    assert report.exit_code == 2
    assert report.all_troubles[0].message == (
        f"channel b: release 1 holds {content}, which no engine installs"
    )
    assert host.sequences() == {"a": 1}
    assert not [path for path in site.requests if "setup.db" in path]


def test_two_channels_with_one_file_name_are_both_named_and_the_later_waits(
    tmp_path: Path, site: Site
) -> None:
    host = ScannerHost(tmp_path, site, scanner=engine_settings("scanner", "a", "b"))
    site.repository.release("a", rules("one"), sequence=1)
    site.repository.release("b", rules("other"), sequence=1)
    report = host.run()
    assert report.exit_code == 5
    assert "a release 1 with b release 1" in report.all_troubles[0].message
    assert host.sequences() == {"a": 1}


def test_one_database_in_two_forms_is_refused_by_name(tmp_path: Path, site: Site) -> None:
    unchecked = engine_settings("scanner", "a", "b", vendor_check=False)
    host = ScannerHost(tmp_path, site, scanner=unchecked)
    site.repository.release("a", {"daily.cvd": b"x"}, sequence=1)
    site.repository.release("b", {"daily.cld": b"x"}, sequence=1)
    message = host.run().all_troubles[0].message
    assert "daily.cld" in message
    assert "daily.cvd" in message


def test_a_file_that_switches_detections_off_is_refused_before_it_is_fetched(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", {**rules("one"), "quiet.ign": b"one\n"}, sequence=1)
    report = host.run()
    assert report.exit_code == 3
    assert "quiet.ign" in report.all_troubles[0].message
    assert "channel a" in report.all_troubles[0].message
    assert not [path for path in site.requests if "quiet.ign" in path]


def test_a_channel_that_may_suppress_may(tmp_path: Path, site: Site) -> None:
    host = ScannerHost(tmp_path, site, scanner=engine_settings("scanner", "a", may_suppress=("a",)))
    site.repository.release("a", {**rules("one", "two"), "quiet.ign": b"one\n"}, sequence=1)
    assert host.run().exit_code == 0
    assert not host.engine().detects("one!")


def test_an_unreachable_mirror_is_told_and_what_is_installed_is_proven(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.override = lambda _: (503, {}, b"")
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome) == (1, "kept")
    assert report.engines[0].proof is Proved.proven


def test_after_the_licence_ended_the_newest_covered_release_is_installed(
    host: ScannerHost, site: Site
) -> None:
    days = {1: "2026-03-29", 2: "2026-03-31", 3: "2026-04-02"}
    for sequence, day in days.items():
        published = datetime.fromisoformat(f"{day}T12:00:00+00:00")
        files = rules(f"n{sequence}")
        site.repository.release("a", files, sequence=sequence, published=published)
    uncovered = _blob(site, 3)
    headers = {"Licence-Ends-On": "2026-03-31", "Licence-Tz": "Asia/Tokyo"}
    site.override = lambda path: (402, headers, b"") if uncovered in path else None
    report = host.run()
    assert (report.exit_code, host.sequences()) == (4, {"a": 2})
    again = host.run()
    assert (again.exit_code, again.engines[0].outcome) == (4, "licence_ended")
    assert again.engines[0].proof is Proved.proven
    site.override = lambda _: None
    assert host.run().exit_code == 0
    assert host.sequences() == {"a": 3}


def test_a_wrong_credential_ends_with_the_licence_code(host: ScannerHost, site: Site) -> None:
    site.override = lambda _: (401, {}, b"")
    assert host.run().exit_code == 4


def test_a_credential_that_counts_no_more_keeps_no_engine_from_being_proven(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.override = lambda _: (401, {}, b"")
    report = host.run()
    assert (report.exit_code, report.engines[0].proof) == (4, Proved.proven)
    assert report == host.last_run()
    assert "host rotate" in report.all_troubles[0].hint


def test_one_failing_engine_does_not_stop_the_other(tmp_path: Path, site: Site) -> None:
    host = ScannerHost(
        tmp_path,
        site,
        first=engine_settings("first", "a"),
        second=engine_settings("second", "a"),
    )
    site.repository.release("a", rules("one"), sequence=1)
    host.engine("first").stop()
    report = host.run()
    assert report.exit_code == 6
    assert [e.proof for e in report.engines] == [Proved.unproven, Proved.proven]


def test_the_hosts_own_definitions_are_laid_beside_and_a_change_of_them_is_seen(
    tmp_path: Path, site: Site
) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "local.db").write_text("mine:mine!\n")
    host = ScannerHost(
        tmp_path, site, scanner=engine_settings("scanner", "a", overlay=str(overlay))
    )
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    assert host.engine().detects("mine!")
    (overlay / "local.db").write_text("yours:yours!\n")
    assert host.run().engines[0].outcome == "installed"
    assert host.engine().detects("yours!")


def test_a_broken_overlay_is_the_operators_and_no_release_is_held(
    tmp_path: Path, site: Site
) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "local.db").write_text("nonsense\n")
    host = ScannerHost(
        tmp_path, site, scanner=engine_settings("scanner", "a", overlay=str(overlay))
    )
    site.repository.release("a", rules("one"), sequence=1)
    report = host.run()
    assert report.exit_code == 2
    assert "overlay" in report.all_troubles[0].message
    assert host.place().quarantine.load().entries == ()


def test_a_clock_years_back_changes_nothing(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    report = host.run(at=datetime(2001, 1, 1, tzinfo=UTC))
    assert (report.exit_code, report.engines[0].proof) == (0, Proved.proven)


def test_a_clock_years_ahead_is_told_and_scanning_goes_on(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    report = host.run(at=datetime.now(UTC) + timedelta(days=4000))
    assert (report.exit_code, report.engines[0].proof) == (3, Proved.proven)
    assert "expired" in report.all_troubles[0].message
    assert host.run().exit_code == 0


def test_install_only_leaves_the_engine_alone(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    report = host.run(ask_engine=False)
    assert (report.exit_code, report.engines[0].outcome) == (0, "installed")
    assert host.engine().calls == ["test"]


def test_install_only_that_changes_nothing_keeps_the_word_of_the_last_run(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    calls = len(host.engine().calls)
    report = host.run(ask_engine=False)
    assert (report.engines[0].outcome, report.engines[0].proof) == ("kept", Proved.proven)
    assert host.last_run().engines[0].proof is Proved.proven
    assert len(host.engine().calls) == calls
    host.engine().stop()
    assert host.run().exit_code == 6
    assert host.run(ask_engine=False).engines[0].proof is Proved.unproven
    site.repository.release("a", rules("two"), sequence=2)
    assert host.run(ask_engine=False).engines[0].proof is Proved.unproven
    host.engine().start()
    assert host.run().engines[0].proof is Proved.proven


def test_blobs_no_generation_needs_are_removed(host: ScannerHost, site: Site) -> None:
    for sequence in range(1, 6):
        site.repository.release("a", rules(f"n{sequence}"), sequence=sequence)
        host.run()
    blobs = [path.read_bytes() for path in host.place().host.blobs.iterdir()]
    assert rules("n5")["rules.db"] in blobs
    assert rules("n3")["rules.db"] in blobs
    assert rules("n1")["rules.db"] not in blobs


def test_a_damaged_state_is_named_and_the_engine_goes_on(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    state = host.place().folder / "state.json"
    state.write_text("{")
    report = host.run()
    assert report.exit_code == 1
    assert "state.json: damaged" in report.all_troubles[0].message
    assert host.engine().detects("one!")
    state.unlink()
    assert host.run().engines[0].outcome == "installed"


def _blob(site: Site, sequence: int) -> str:
    wanted = rules(f"n{sequence}")["rules.db"]
    return next(name for name, data in site.repository.files.items() if data == wanted)
