"""What a host meets over the years: lost folders, narrow rights, cut runs, typing errors."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuf_repository import ChannelRepository
from tests.updater.site import ScannerHost, Site, engine_settings, served
from updater.state import Proved


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a", "b")) as serving:
        yield serving


@pytest.fixture
def host(tmp_path: Path, site: Site) -> ScannerHost:
    return ScannerHost(tmp_path, site)


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def rules(*names: str, file: str = "rules.db") -> dict[str, bytes]:
    return {file: "".join(f"{name}:{name}!\n" for name in names).encode()}


def test_a_run_cut_off_in_mid_release_keeps_the_files_it_has_for_the_next(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    site.repository.release("a", {**rules("two"), **rules("last", file="z.db")}, sequence=2)
    site.override = lambda path: (503, {}, b"") if path.endswith(".z.db") else None
    assert host.run().exit_code == 1
    site.override = lambda _: None
    site.requests.clear()
    assert host.run().exit_code == 0
    assert not [path for path in site.requests if path.endswith(".rules.db")]


@pytest.mark.usefixtures("narrow_umask")
def test_the_engines_user_can_read_what_is_installed_whatever_the_umask(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    folder = host.place().generations.current.resolve()
    while folder != host.root:
        assert folder.stat().st_mode & 0o777 == 0o755, folder
        folder = folder.parent


def test_a_generation_that_was_deleted_is_installed_again(host: ScannerHost, site: Site) -> None:
    site.repository.release("a", rules("one"), sequence=1)
    host.run()
    lost = host.place().generations.current.resolve()
    lost.rename(host.root / "lost")
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome) == (0, "installed")
    host.engine().start()  # a cold start reads it
    assert host.engine().detects("one!")


def test_a_blob_changed_on_this_host_never_comes_into_a_new_generation(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", {**rules("one"), **rules("kept", file="kept.db")}, sequence=1)
    host.run()
    changed = host.place().generations.current / "kept.db"
    changed.chmod(0o644)
    changed.write_bytes(b"kept:KEPT!\n")  # hard-linked: the blob is changed with it
    site.repository.release("a", {**rules("two"), **rules("kept", file="kept.db")}, sequence=2)
    assert host.run().exit_code == 0
    assert host.sequences() == {"a": 2}
    assert host.engine().detects("kept!")


def test_a_channel_that_is_not_offered_is_told(tmp_path: Path, site: Site) -> None:
    host = ScannerHost(tmp_path, site, scanner=engine_settings("scanner", "a", "tpyo"))
    site.repository.release("a", rules("one"), sequence=1)
    report = host.run()
    assert report.exit_code == 1
    assert "tpyo" in report.all_troubles[0].message
    assert host.sequences() == {"a": 1}


def test_a_run_over_one_engine_leaves_what_is_known_of_the_others(
    tmp_path: Path, site: Site
) -> None:
    engines = {name: engine_settings(name, "a") for name in ("one", "other")}
    host = ScannerHost(tmp_path, site, **engines)
    site.repository.release("a", rules("one"), sequence=1)
    host.engine("other").stop()
    assert host.run().exit_code == 6
    report = host.run(only="one")
    assert [engine.engine for engine in report.engines] == ["one"]
    known = {engine.engine: engine.proof for engine in host.last_run().engines}
    assert known == {"one": Proved.proven, "other": Proved.unproven}
