"""Bad input through the commands: a named error, its exit code, the last good state in force."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from keys import console
from keys.errors import LockedError
from keys.model import release
from keys.model.release import Pin
from tests.clocks import moved
from tests.tuf_repository import ChannelRepository
from tests.updater.site import Answer, ScannerHost, Site, served
from updater.settings import Limits
from updater.state import Proved

PASSPHRASE = "a passphrase of the test"  # noqa: S105 - the test's own
RULES = {"rules.db": b"one:one!\n"}


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Mirror:
    """A mirror that was founded and is kept by the installed commands."""

    folder: Path

    @classmethod
    def found(cls, folder: Path) -> "Mirror":
        mirror = cls(folder)
        mirror.passphrase.write_text(PASSPHRASE)
        mirror.config.write_text(mirror.settings)
        words = ("--threshold", "1", "--keys", "1", "--passphrase-file", mirror.passphrase)
        assert mirror.types("sigkeys", "init", mirror.root, *words).code == 0
        return mirror

    @property
    def root(self) -> Path:
        return self.folder / "mirror"

    @property
    def passphrase(self) -> Path:
        return self.folder / "passphrase"

    @property
    def config(self) -> Path:
        return self.folder / "sigmirror.toml"

    @property
    def settings(self) -> str:
        url, secret = f"file://{self.root}", self.passphrase
        return f'[store]\nurl = "{url}"\n[signing]\npassphrase_file = "{secret}"\n'

    def types(self, program: str, *words: str | Path, clock: str = "") -> Said:
        faked = moved(f"@{clock} 00:00:00") if clock else []
        done = subprocess.run(
            [*faked, Path(sys.executable).with_name(program), *words],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert PASSPHRASE not in done.stdout + done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def publish(self, size: int, *, clock: str = "") -> Said:
        """Publish one file of this size, each byte of it different from other sizes'."""
        folder = self.folder / f"release-{size}"
        folder.mkdir(exist_ok=True)
        (folder / "rules.db").write_bytes(str(size).encode() * (size // len(str(size))))
        words = ("publish", "inhouse", folder, "--config", self.config)
        return self.types("sigmirror", *words, clock=clock)

    def served(self) -> dict[Path, bytes]:
        """Read every byte a client could be given."""
        return {p: p.read_bytes() for p in (self.root / "r").rglob("*") if p.is_file()}


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror.found(tmp_path)


UPSTREAM = '[[upstream]]\nname = "{name}"\nkind = "drop"\nchannel = "{channel}"\nfolder = "/srv"\n'
MIRROR_SETTINGS = {
    "not TOML": ("[store", "not TOML"),
    "nested without end": ("a = " + "[" * 100_000, "nested too deep"),
    "an unknown key": ("[serve]\nport = 1\n", "port"),
    "a wrong kind": ("keep_releases = 'ten'\n", "keep_releases"),
    "a number below its limit": ("keep_releases = 0\n", "keep_releases"),
    "a validity no date can hold": ("[expiry]\ntimestamp_seconds = 1000000000000\n", "expiry"),
    "a time that is no number": ("reload_poll_seconds = nan\n", "reload_poll_seconds"),
    "a name that leads elsewhere": (UPSTREAM.format(name="../../x", channel="a"), "name"),
    "a name no file can have": (UPSTREAM.format(name="a\\u0000", channel="a"), "name"),
    "the name of our own repository": (UPSTREAM.format(name="site", channel="a"), "'site'"),
    "one name twice": (2 * UPSTREAM.format(name="a", channel="a"), "named 2 times"),
    "the channel of a TUF role": (UPSTREAM.format(name="a", channel="root"), "'root'"),
    "a folder nobody named": ("[[upstream]]\nname='a'\nkind='drop'\nchannel='a'\n", "folder"),
    "a vendor without a root": ("[[upstream]]\nname='a'\nkind='tuf'\nurl='https://x'\n", "root"),
    "a store of another kind": ('[store]\nurl = "ftp://x"\n', "store.url"),
}
HOST = 'mirrors = ["http://127.0.0.1:9"]\nstate = "/nowhere"\n'
REPOSITORY = '[[repository]]\nname = "{name}"\nroot = "/nowhere"\n'
ENGINE = '[[engine]]\nname = "e"\nkind = "clamd"\nsocket = "/s"\nchannels = ["{channel}"]\n'
GOOD = REPOSITORY.format(name="site") + ENGINE.format(channel="a")
HOST_SETTINGS = {
    "not TOML": ("mirrors = [", "not TOML"),
    "nested without end": ("a = " + "[" * 100_000, "nested too deep"),
    "an unknown key": (HOST + "mirorr = 1\n" + GOOD, "mirorr"),
    "a time that is no number": (HOST + "[limits]\nread_timeout_seconds = nan\n" + GOOD, "limits"),
    "a time below its limit": (HOST + "[limits]\nconnect_timeout_seconds = 0\n" + GOOD, "limits"),
    "no attempt at all": (HOST + "[limits]\nmax_attempts = 0\n" + GOOD, "max_attempts"),
    "a state that moves about": (HOST.replace("/nowhere", "here") + GOOD, "state: 'here'"),
    "a repository that leads elsewhere": (
        HOST + REPOSITORY.format(name="../x") + ENGINE.format(channel="a"), "'../x'",
    ),
    "a channel that leads elsewhere": (
        HOST + REPOSITORY.format(name="site") + ENGINE.format(channel="site/.."), "'..'",
    ),
    "one engine twice": (HOST + GOOD + ENGINE.format(channel="a"), "given twice"),
    "an address that is none": (HOST.replace("http", "ftp") + GOOD, "ftp://"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "named"), MIRROR_SETTINGS.values(), ids=MIRROR_SETTINGS)
@pytest.mark.parametrize("command", ["pull", "status"])
def test_a_mirrors_malformed_settings_are_named_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str, command: str
) -> None:
    from mirror.cli import sigmirror  # noqa: PLC0415 - the server's libraries

    config = tmp_path / "sigmirror.toml"
    store = "" if "[store]" in text else f'[store]\nurl = "file://{tmp_path}"\n'
    top_level = not text.startswith("[")
    config.write_text(text + store if top_level else store + text)
    words = [command, "--config", str(config)]
    assert console.exit_code(sigmirror, program="sigmirror", arguments=words) == 2
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize(("text", "named"), HOST_SETTINGS.values(), ids=HOST_SETTINGS)
def test_a_hosts_malformed_settings_are_named_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
) -> None:
    from updater.cli.commands import sigupdate  # noqa: PLC0415 - beside its sister above

    config = tmp_path / "sigupdate.toml"
    state = tmp_path / "state"
    config.write_text(text.replace('state = "/nowhere"', f'state = "{state}"'))
    words = ["run", "--config", str(config)]
    assert console.exit_code(sigupdate, program="sigupdate", arguments=words) == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["not the passphrase", ""], ids=["wrong", "empty"])
def test_a_wrong_passphrase_is_named_and_what_is_served_stays(mirror: Mirror, wrong: str) -> None:
    assert mirror.publish(10).code == 0
    before = mirror.served()
    mirror.passphrase.write_text(wrong)
    for said in (
        mirror.publish(20),
        mirror.types("sigkeys", "renew", mirror.root, "--passphrase-file", mirror.passphrase),
    ):
        assert said.code == 2
        assert "pass" in said.err
        assert wrong == "" or wrong not in said.err
    assert mirror.served() == before
    mirror.passphrase.write_text(PASSPHRASE)
    assert mirror.publish(20).code == 0


@pytest.mark.slow
def test_a_publish_onto_a_full_disk_is_named_and_room_is_all_it_takes(
    small_disk: Path, tmp_path: Path
) -> None:
    mirror = Mirror.found(tmp_path)
    shutil.copytree(mirror.root, small_disk / "m", dirs_exist_ok=True)
    mirror.config.write_text(mirror.settings.replace(str(mirror.root), f"{small_disk}/m"))
    assert mirror.publish(10).code == 0
    published = small_disk / "m/r/site/metadata/timestamp.json"
    before = published.read_bytes()
    said = mirror.publish(2 << 20)
    assert (said.code, published.read_bytes()) == (1, before)
    assert "No space left" in said.err
    assert mirror.publish(20).code == 0
    assert published.read_bytes() != before


@pytest.mark.slow
def test_a_publish_onto_a_read_only_disk_is_named_and_loses_nothing(
    small_disk: Path, tmp_path: Path
) -> None:
    mirror = Mirror.found(tmp_path)
    shutil.copytree(mirror.root, small_disk / "m", dirs_exist_ok=True)
    mirror.config.write_text(mirror.settings.replace(str(mirror.root), f"{small_disk}/m"))
    assert mirror.publish(10).code == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    said = mirror.publish(20)
    assert said.code == 1
    assert "Read-only file system" in said.err
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert mirror.publish(20).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["2001-01-01", "2061-01-01"], ids=["back", "ahead"])
def test_a_mirrors_clock_that_is_years_off_signs_nothing(mirror: Mirror, clock: str) -> None:
    assert mirror.publish(10).code == 0
    before = (mirror.root / "r/site/metadata/timestamp.json").read_bytes()
    said = mirror.publish(20, clock=clock)
    assert said.code == 1
    assert f"clock says {clock}" in said.err
    assert (mirror.root / "r/site/metadata/timestamp.json").read_bytes() == before
    assert mirror.publish(20).code == 0


# -- a scanner host ---------------------------------------------------------------------------


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a")) as serving:
        serving.repository.release("a", RULES, sequence=1)
        yield serving


@pytest.fixture
def host(tmp_path: Path, site: Site) -> ScannerHost:
    host = ScannerHost(tmp_path, site)
    assert host.run().exit_code == 0
    return host


def smuggle(repository: ChannelRepository, path: str) -> None:
    """Sign a release whose file list holds a path no publisher of ours would list."""
    manifest = repository.release("a", {"rules.db": b"two:two!\n"}, sequence=2)
    data = release.encode_file_list((release.File(path, Pin.of(b"x").sha256, 1),))
    place = release.blob_name(release.file_list_target("a", 2), Pin.of(data).sha256)
    repository.files[f"targets/{place}"] = data
    forged = msgspec.structs.replace(manifest, file_list=Pin.of(data))
    repository.add_target("a", release.manifest_target("a", 2), release.encode(forged))
    repository.point("a", "stable", 2)


HOSTILE = {
    "climbs out": "../../evil.db", "starts at the root": "/evil.db", "hides": ".evil.db",
    "climbs on the way": "a/../../evil.db", "another system's separator": "..\\evil.db",
    "ends in the middle": "evil\x00.db", "moves the cursor": "evil\x1b[2K.db",
    "reads backwards": "evil\u202ebd.db", "too long": "e" * 300 + ".db",
    "too deep": "a/" * 20 + "evil.db",
}  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_a_signed_release_with_a_hostile_path_is_refused_and_nothing_moves(
    host: ScannerHost, site: Site, path: str
) -> None:
    smuggle(site.repository, path)
    report = host.run()
    assert (report.exit_code, host.sequences()) == (3, {"a": 1})
    assert report.engines[0].proof is Proved.proven
    assert not [found for found in host.root.rglob("*") if "evil" in found.name]
    assert not Path("/evil.db").exists()


CHANGED: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "truncated": (lambda data: data[:-1], 1),
    "one bit flipped": (lambda data: bytes([data[0] ^ 1]) + data[1:], 3),
    "longer than signed": (lambda data: data + b"x" * 100_000, 3),
    "empty": (lambda _: b"", 1),
}


@pytest.mark.parametrize(("change", "code"), CHANGED.values(), ids=CHANGED)
def test_a_download_that_is_not_what_was_signed_is_refused_and_nothing_moves(
    host: ScannerHost, site: Site, change: Callable[[bytes], bytes], code: int
) -> None:
    site.repository.release("a", {"rules.db": b"two:two!\n"}, sequence=2)

    def changed(path: str) -> Answer | None:
        return (200, {}, change(b"two:two!\n")) if path.endswith(".rules.db") else None

    site.override = changed
    report = host.run()
    assert (report.exit_code, host.sequences()) == (code, {"a": 1})
    assert "rules.db" in report.all_troubles[0].message
    assert report.engines[0].proof is Proved.proven
    site.override = lambda _: None
    assert (host.run().exit_code, host.sequences()) == (0, {"a": 2})


def test_a_mirror_that_hangs_ends_the_run_in_time_and_the_engine_goes_on(
    host: ScannerHost, site: Site
) -> None:
    host.limits = Limits(max_attempts=1, read_timeout_seconds=0.3)
    released = threading.Event()

    def hang(_: str) -> Answer | None:
        released.wait(20)
        return 503, {}, b""

    site.override = hang
    try:
        report = host.run()
    finally:
        released.set()
    assert (report.exit_code, report.engines[0].outcome) == (1, "kept")
    assert report.engines[0].proof is Proved.proven


def test_of_two_runs_at_once_the_second_gives_way_and_the_first_ends_well(
    host: ScannerHost, site: Site
) -> None:
    site.repository.release("a", {"rules.db": b"two:two!\n"}, sequence=2)
    asked, released = threading.Event(), threading.Event()

    def wait(_: str) -> Answer | None:
        asked.set()
        released.wait(20)
        return None

    site.override = wait
    codes: list[int] = []
    first = threading.Thread(target=lambda: codes.append(host.run().exit_code))
    host.limits = Limits(max_attempts=1, read_timeout_seconds=30)
    first.start()
    try:
        assert asked.wait(20)
        with pytest.raises(LockedError) as caught:
            host.run()
    finally:
        released.set()
        first.join()
    assert (caught.value.exit_code, codes, host.sequences()) == (1, [0], {"a": 2})
