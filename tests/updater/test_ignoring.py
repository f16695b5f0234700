"""What a site has its hosts ignore: followed where it may be, proven, ended, never in the way."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model.ignore import IGNORE_TARGET, MAX_IGNORED, Ignored, IgnoreList
from keys.model.release import encode
from tests.tuf_repository import ChannelRepository
from tests.updater.site import Answer, ScannerHost, Site, engine_settings, served
from updater import ignoring
from updater.channels import ChannelName
from updater.report import EngineReport, RunReport
from updater.settings import RepositorySettings, Settings
from updater.state import Proved
from updater.verify import Verifier

HOUR = timedelta(hours=1)


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a", "b")) as serving:
        yield serving


@pytest.fixture
def host(tmp_path: Path, site: Site) -> ScannerHost:
    """A host that allows it, on a release that finds ``one!`` and ``two!``."""
    site.repository.release("a", rules("one", "two"), sequence=1)
    return allowing(tmp_path, site)


def allowing(folder: Path, site: Site, **more: object) -> ScannerHost:
    host = ScannerHost(
        folder, site, scanner=engine_settings("scanner", "a", may_ignore=True, **more)
    )
    assert host.run().exit_code == 0
    return host


def rules(*names: str) -> dict[str, bytes]:
    return {"rules.db": "".join(f"{name}:{name}!\n" for name in names).encode()}


def entry(name: str, *, channel: str = "a", hours: float = 1) -> Ignored:
    at = datetime.now(UTC)
    return Ignored(channel, name, at, at + hours * HOUR, "hits letters")


def say(site: Site, *entries: Ignored) -> None:
    put(site, encode(IgnoreList(entries=entries)))


def put(site: Site, data: bytes) -> None:
    site.repository.add_target("policy", IGNORE_TARGET, data)
    site.repository.publish("policy", "snapshot", "timestamp")


def engine_of(report: RunReport) -> EngineReport:
    return report.engines[0]


def standing(report: RunReport, name: str = "one") -> str:
    return next((one.standing for one in engine_of(report).ignored if one.name == name), "")


def later(hours: float) -> datetime:
    return datetime.now(UTC) + hours * HOUR


def down(_path: str) -> Answer:
    return 503, {}, b""


def test_it_ends_by_itself_while_no_mirror_answers(host: ScannerHost, site: Site) -> None:
    say(site, entry("one"))
    report = host.run()
    assert (report.exit_code, engine_of(report).outcome) == (0, "installed")
    assert (engine_of(report).generation, standing(report)) == (2, "in force")
    assert engine_of(report).proof is Proved.proven
    assert (host.engine().detects("one!"), host.engine().detects("two!")) == (False, True)
    assert host.run().requests == 2
    host.engine().stop()
    host.engine().start()
    assert not host.engine().detects("one!")
    site.override = down
    report = host.run(at=later(2))
    assert (report.exit_code, engine_of(report).outcome) == (1, "installed")
    assert host.engine().detects("one!")
    assert engine_of(report).ignored == ()


def test_another_end_makes_no_other_generation(host: ScannerHost, site: Site) -> None:
    say(site, entry("one"))
    host.run()
    say(site, entry("one", hours=5))
    assert engine_of(host.run()).generation == 2
    assert standing(host.run(at=later(3))) == "in force"
    say(site)
    assert engine_of(host.run()).outcome == "installed"
    assert host.engine().detects("one!")


def test_a_clock_set_back_does_not_lengthen_it(host: ScannerHost, site: Site) -> None:
    say(site, entry("one"))
    host.run()
    site.repository.release("a", rules("one", "three"), sequence=2, published=later(2))
    assert standing(host.run()) == "overdue"  # that time was met after this run had its orders
    assert standing(host.run()) == ""
    assert host.engine().detects("one!")


def test_a_host_that_does_not_allow_it_says_so_and_detects(tmp_path: Path, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    say(site, entry("one"))
    host = ScannerHost(tmp_path, site)
    host.run()
    report = host.run()
    assert (report.exit_code, standing(report), report.requests) == (0, "not allowed", 2)
    assert host.engine().detects("one!")


def test_an_engine_that_cannot_says_so(host: ScannerHost, site: Site) -> None:
    host.engine().ignores = False
    say(site, entry("one"))
    report = host.run()
    assert (report.exit_code, standing(report)) == (0, "not possible")
    assert host.engine().detects("one!")


def test_what_concerns_other_channels_changes_nothing(host: ScannerHost, site: Site) -> None:
    say(site, entry("one", channel="b"))
    report = host.run()
    assert (engine_of(report).outcome, engine_of(report).ignored) == ("kept", ())


class CascadedHost(ScannerHost):
    """It calls the same repository by another name: one that passes through."""

    @property
    def settings(self) -> Settings:
        root = RepositorySettings(name="vendor", root=str(self.root / "root.json"))
        return msgspec.structs.replace(super().settings, repository=(root,))


def test_a_list_that_is_not_the_sites_own_is_never_followed(tmp_path: Path, site: Site) -> None:
    repository = site.repository

    def passed_on(path: str) -> Answer:
        data = repository.files.get(path.removeprefix("/r/vendor/"))
        return (200, {}, data) if data is not None else (404, {}, b"")

    site.override = passed_on
    repository.release("a", rules("one"), sequence=1)
    say(site, entry("one"), entry("one", channel="vendor/a"))
    host = CascadedHost(tmp_path, site, scanner=engine_settings("scanner", "a", may_ignore=True))
    report = host.run()
    assert (report.exit_code, engine_of(report).ignored) == (0, ())
    assert host.engine().detects("one!")


# -- what fails ------------------------------------------------------------------------------------


def samples(folder: Path, text: str) -> str:
    folder.mkdir()
    (folder / "sample").write_text(text)
    return str(folder)


def test_a_list_that_takes_a_needed_detection_is_held_and_the_release_is_not(
    tmp_path: Path, site: Site
) -> None:
    site.repository.release("a", rules("one", "two"), sequence=1)
    host = allowing(tmp_path, site, must_detect=samples(tmp_path / "needed", "one!"))
    say(site, entry("one"), entry("two"))
    report = host.run()
    assert (report.exit_code, engine_of(report).outcome) == (5, "undone")
    assert host.engine().detects("one!")
    generation = engine_of(report).generation
    report = host.run()
    assert (report.exit_code, engine_of(report).outcome) == (0, "kept")
    assert (engine_of(report).generation, standing(report)) == (generation, "held")
    assert "ignoring one, two is in quarantine" in engine_of(report).held[0]
    say(site, entry("two"))
    assert standing(host.run(), "two") == "in force"
    assert (host.engine().detects("one!"), host.engine().detects("two!")) == (True, False)
    site.repository.release("a", rules("one", "two", "three"), sequence=2)
    assert host.run().exit_code == 0
    assert (host.sequences(), host.engine().detects("two!")) == ({"a": 2}, False)


def test_an_end_that_hits_the_sites_own_clean_files_waits_for_the_next_release(
    tmp_path: Path, site: Site
) -> None:
    site.repository.release("a", rules("two"), sequence=1)
    host = allowing(tmp_path, site, must_pass=samples(tmp_path / "clean", "one!"))
    say(site, entry("one"))
    site.repository.release("a", rules("one", "two"), sequence=2)
    assert host.run().exit_code == 0
    assert host.run(at=later(2)).exit_code == 5
    report = host.run(at=later(2))
    assert (report.exit_code, standing(report)) == (0, "overdue")
    assert "the end of ignoring one is in quarantine" in engine_of(report).held[0]
    assert not host.engine().detects("one!")
    site.repository.release("a", rules("two", "three"), sequence=3)
    report = host.run(at=later(2))
    assert (report.exit_code, engine_of(report).ignored) == (0, ())
    assert host.sequences() == {"a": 3}


def test_a_list_the_loader_refuses_is_held_and_releases_go_on(
    host: ScannerHost, site: Site
) -> None:
    host.engine().refuses_lists = True
    say(site, entry("one"))
    report = host.run()
    assert (report.exit_code, engine_of(report).outcome) == (5, "refused")
    assert "ignoring one" in report.all_troubles[0].message
    assert host.sequences() == {"a": 1}
    site.repository.release("a", rules("one", "three"), sequence=2)
    assert host.run().exit_code in {0, 5}
    report = host.run()
    assert (host.sequences(), host.engine().detects("three!")) == ({"a": 2}, True)
    assert standing(report) == "held"


def test_an_engine_that_finds_what_it_is_to_ignore_is_not_proven(
    host: ScannerHost, site: Site
) -> None:
    host.engine().heeds_lists = False
    say(site, entry("one"))
    report = host.run()
    assert (report.exit_code, engine_of(report).outcome) == (5, "undone")
    assert "does not ignore" in report.all_troubles[0].message
    assert engine_of(host.run()).outcome == "kept"


def test_an_operator_who_goes_back_is_not_overruled_by_the_next_run(
    host: ScannerHost, site: Site
) -> None:
    say(site, entry("one"))
    host.run()
    turn = host.turn()
    assert turn.go_back("that one is real").outcome == "went_back"
    assert host.engine().detects("one!")
    report = host.run()
    assert (standing(report), host.engine().detects("one!")) == ("held", True)
    assert turn.lift("") == 1
    assert standing(host.run()) == "in force"


HOSTILE = {
    "a colon": {"name": "one:two"},
    "a comment": {"name": "#one"},
    "a line break": {"name": "one\ntwo"},
    "a marker": {"name": "sigmirror_marker_g1_00"},
    "a marker in capitals": {"name": "X.SIGMIRROR-marker"},
    "too long": {"name": "n" * 201},
    "nothing": {"name": ""},
    "too far away": {"expires": "2099-01-01T00:00:00Z"},
    "over before it began": {"expires": "2001-01-01T00:00:00Z"},
    "no time": {"expires": "tomorrow"},
    "an unknown field": {"wildcard": True},
    "a role as channel": {"channel": "root"},
}


@pytest.mark.parametrize("changes", [pytest.param(c, id=name) for name, c in HOSTILE.items()])
def test_a_hostile_list_is_refused_and_the_last_one_stays_until_its_end(
    host: ScannerHost, site: Site, changes: dict[str, object]
) -> None:
    say(site, entry("two"))
    host.run()
    bad = {**msgspec.to_builtins(entry("one")), **changes}
    put(site, msgspec.json.encode({"format": 1, "entries": [bad]}))
    report = host.run()
    assert (report.exit_code, standing(report, "two")) == (3, "in force")
    assert host.engine().detects("one!")
    assert host.run(at=later(2)).exit_code == 3
    assert host.engine().detects("two!")


def test_a_list_without_measure_is_refused(host: ScannerHost, site: Site) -> None:
    say(site, *(entry(f"n{number}") for number in range(MAX_IGNORED + 1)))
    assert host.run().exit_code == 3
    put(site, b" " * (1 << 20) + encode(IgnoreList()))
    report = host.run()
    assert "ignore.json" in report.all_troubles[0].message
    assert host.engine().detects("one!")


def test_verify_notices_a_changed_list(host: ScannerHost, site: Site) -> None:
    say(site, entry("one"))
    host.run()
    place = host.place()
    assert list(Verifier(place, host.engine()).findings()) == []
    file = place.generations.path(place.generations.in_force()) / "sigmirror-ignored.ign"
    file.chmod(0o644)
    file.write_text("one\ntwo\n")
    file.chmod(0o444)
    found = Verifier(place, host.engine()).findings()
    assert [("was changed" in f.what, f.exit_code) for f in found] == [(True, 3)]


class PowerCut(BaseException):
    """Nothing that runs after it is cleaned up by anybody."""


@pytest.mark.parametrize("during", ["test", "reload", "scan"])
@pytest.mark.parametrize("ending", [False, True], ids=["beginning", "ending"])
def test_a_cut_at_any_step_leaves_a_whole_generation_and_the_next_run_ends_it(
    host: ScannerHost, site: Site, monkeypatch: pytest.MonkeyPatch, during: str, ending: bool
) -> None:
    say(site, entry("one"))
    if ending:
        host.run()

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    at = later(2 if ending else 0)
    with monkeypatch.context() as patch:
        patch.setattr(host.engine(), during, cut)  # a cut has no public door
        with pytest.raises(PowerCut):
            host.run(at=at)
    host.engine().start()  # from what lies there
    before = (not host.engine().detects("one!"), host.engine().detects("two!"))
    assert before in {(ending, True), (not ending, True)}
    report = host.run(at=at)
    assert (report.exit_code, engine_of(report).proof) == (0, Proved.proven)
    assert (host.engine().detects("one!"), host.engine().detects("two!")) == (ending, True)
    assert host.run(at=at).requests == 2


def test_a_channel_that_passes_through_is_named_with_its_repository() -> None:
    site, vendor = (RepositorySettings(name=name, root="") for name in ("site", "vendor"))
    channels = {
        "a": ChannelName("a", site, "a"),
        "vendor/a": ChannelName("vendor/a", vendor, "a"),
    }
    listed = (entry("one"), entry("two", channel="vendor/a"), entry("three", channel="vendor/b"))
    found = ignoring.wanted(listed, channels, at=later(0))
    assert found == {"a": ("one",), "vendor/a": ("two",)}
    assert ignoring.wanted(listed, channels, at=later(2)) == {}
    assert ignoring.wanted(listed, channels, at=later(-1)) == {}


NAMES = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.lists(st.sampled_from("xyz"), min_size=1, unique=True).map(sorted).map(tuple),
)


@given(NAMES, NAMES)
def test_less_is_never_more(
    names: dict[str, tuple[str, ...]], before: dict[str, tuple[str, ...]]
) -> None:
    assert ignoring.grew(names, {}) is bool(names)
    assert not ignoring.grew(names, names)
    shared = ignoring.common(names, before)
    assert not ignoring.grew(shared, names)
    assert not ignoring.grew(shared, before)
    assert (ignoring.fingerprint(names) == ignoring.fingerprint(before)) is (names == before)
