"""Rules that stay current inside a scanner written in Python."""

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keys import files
from keys.errors import UnprovenError, UsageError
from tests.updater.yara_site import YaraScanner, rule, wait_for
from updater.engines import instream
from updater.engines.instream import Address
from updater.engines.yara import LiveRules, compiled, watch

SWAPS = 4
COMPILED = compiled.FILE_NAME


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[YaraScanner]:
    scanner = YaraScanner(tmp_path)
    yield scanner
    scanner.end()


def install(scanner: YaraScanner, number: int, text: str, *, tested: bool = True) -> str:
    """Put a generation in force, as the updater does; return its name."""
    folder, marker = scanner.stage(number, {"rules.yar": text})
    if tested:
        scanner.engine.test(folder, marker)
    files.point(scanner.folder / "current", f"generations/{folder.name}")
    return folder.name


def numbered(number: int) -> str:
    return rule(f"only_{number}", f"text {number}!") + rule("always", "constant")


def live(scanner: YaraScanner, *, poll_seconds: float = 0.05, inotify: bool = True) -> LiveRules:
    return LiveRules(scanner.folder, poll_seconds=poll_seconds, inotify=inotify)


def test_a_match_tells_its_rule_its_file_and_its_metadata(scanner: YaraScanner) -> None:
    text = 'rule told : t1 t2 { meta: score = 7 strings: $a = "x!" condition: $a }'
    name = install(scanner, 1, text)
    with live(scanner) as rules:
        (match,) = rules.scan(b"an x!")
        assert (match.rule, match.namespace) == ("told", "a/rules.yar")
        assert (match.tags, match.metadata) == (("t1", "t2"), (("score", 7),))
        assert (rules.generation, rules.count, rules.error) == (name, 2, "")


def test_externals_hold_for_one_scan(scanner: YaraScanner) -> None:
    install(scanner, 1, 'rule named { condition: filename == "evil.exe" }')
    with live(scanner) as rules:
        assert not rules.scan(b"x")
        assert rules.scan(b"x", externals={"filename": "evil.exe"})
        assert not rules.scan(b"x")


def test_concurrent_scans_lose_nothing_while_generations_change(scanner: YaraScanner) -> None:
    install(scanner, 1, numbered(1))
    stop = threading.Event()
    with live(scanner) as rules:

        def scan_on() -> int:
            """Each scan finds what is always there and the text of exactly one generation."""
            done = 0
            sample = b" constant " + b" ".join(b"text %d!" % n for n in range(1, SWAPS + 2))
            while not stop.is_set():
                found = {match.rule for match in rules.scan(sample)}
                assert "always" in found
                assert len(found) == 2
                done += 1
            return done

        with ThreadPoolExecutor(4) as pool:
            scans = [pool.submit(scan_on) for _ in range(4)]
            for number in range(2, SWAPS + 2):
                name = install(scanner, number, numbered(number))
                wait_for(lambda name=name: rules.generation == name)  # type: ignore[misc]  # a default, bound at once
            stop.set()
            assert all(scan.result() > SWAPS for scan in scans)


def test_a_generation_that_does_not_load_leaves_the_old_one(scanner: YaraScanner) -> None:
    first = install(scanner, 1, numbered(1))
    with live(scanner) as rules:
        broken = install(scanner, 2, "rule broken { condition: $b }", tested=False)
        wait_for(lambda: rules.error != "")
        assert f"generation {broken}: yara-x: a/rules.yar:1: unknown pattern" in rules.error
        assert rules.generation == first
        assert rules.scan(b"text 1!")
        third = install(scanner, 3, numbered(3))
        wait_for(lambda: rules.generation == third)
        assert (rules.error, bool(rules.scan(b"text 3!"))) == ("", True)


def test_what_did_not_load_is_tried_again_when_asked(scanner: YaraScanner) -> None:
    with live(scanner) as rules:
        name = install(scanner, 1, "rule broken { condition: $b }", tested=False)
        wait_for(lambda: rules.error != "")
        path = scanner.folder / "generations" / name / "a" / "rules.yar"
        path.unlink()
        path.write_text(numbered(1))
        rules.reload()
        wait_for(lambda: rules.generation == name)


DAMAGES = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "one bit flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "header cut": lambda data: data[:20],
    "more behind it": lambda data: data + b"x",
    "no compiled rules": lambda _: b"\0" * 5000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_compiled_file_is_made_again(damage: object, scanner: YaraScanner) -> None:
    folder = scanner.folder / "generations" / install(scanner, 1, numbered(1))
    good = (folder / COMPILED).read_bytes()
    assert callable(damage)
    files.write(folder / COMPILED, damage(good))
    with live(scanner) as rules:
        assert rules.scan(b"text 1!")
    assert (folder / COMPILED).read_bytes().partition(b"\n")[0] == good.partition(b"\n")[0]


def test_compiled_rules_of_other_sources_are_not_used(scanner: YaraScanner) -> None:
    first = scanner.folder / "generations" / install(scanner, 1, numbered(1))
    second = scanner.folder / "generations" / install(scanner, 2, numbered(2), tested=False)
    files.write(second / COMPILED, (first / COMPILED).read_bytes())
    with live(scanner) as rules:
        assert rules.scan(b"text 2!")
        assert not rules.scan(b"text 1!")


def test_rules_compiled_elsewhere_serve_where_nothing_can_be_written(
    scanner: YaraScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scanner.folder / "generations" / install(scanner, 1, numbered(1), tested=False)
    # root may write anywhere: this is how a scanner of another user sees the folder
    monkeypatch.setattr("updater.engines.yara.load.os.access", lambda *_: False)
    with live(scanner) as rules:
        assert rules.scan(b"text 1!")
    assert not (folder / COMPILED).exists()


def test_a_change_is_seen_by_polling_where_there_are_no_events(scanner: YaraScanner) -> None:
    install(scanner, 1, numbered(1))
    with live(scanner, inotify=False) as rules:
        name = install(scanner, 2, numbered(2))
        wait_for(lambda: rules.generation == name)


def test_a_change_is_seen_by_events_long_before_the_next_poll(scanner: YaraScanner) -> None:
    install(scanner, 1, numbered(1))
    with live(scanner, poll_seconds=600) as rules:
        name = install(scanner, 2, numbered(2))
        wait_for(lambda: rules.generation == name)


def test_a_file_system_that_refuses_a_watch_is_polled(
    scanner: YaraScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(scanner, 1, numbered(1))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    # the limit belongs to the whole machine: a test must not use it up
    monkeypatch.setattr("watchdog.observers.api.BaseObserver.start", refuse)
    watcher = watch.Watcher(scanner.folder, lambda: None)
    watcher.ensure()
    watcher.stop()
    with live(scanner) as rules:
        name = install(scanner, 2, numbered(2))
        wait_for(lambda: rules.generation == name)


def test_before_the_first_generation_a_scan_says_so_and_then_works(scanner: YaraScanner) -> None:
    with live(scanner) as rules:
        with pytest.raises(UnprovenError, match="nothing is installed yet"):
            rules.scan(b"x")
        install(scanner, 1, numbered(1))
        wait_for(lambda: rules.generation != "")
        assert rules.scan(b"text 1!")


def test_a_current_that_is_taken_away_leaves_what_is_loaded(scanner: YaraScanner) -> None:
    name = install(scanner, 1, numbered(1))
    with live(scanner) as rules:
        (scanner.folder / "current").unlink()
        rules.reload()
        assert rules.scan(b"text 1!")
        install(scanner, 2, numbered(2))
        wait_for(lambda: rules.generation != name)


def test_close_ends_its_threads_and_its_socket(scanner: YaraScanner) -> None:
    install(scanner, 1, numbered(1))
    before = set(threading.enumerate())
    rules = LiveRules(scanner.folder, probe_socket=scanner.socket)
    with rules:
        assert set(threading.enumerate()) > before
        assert Path(scanner.socket).exists()
    wait_for(lambda: set(threading.enumerate()) <= before)
    assert not Path(scanner.socket).exists()
    assert rules.scan(b"text 1!"), "what is loaded still scans"


# -- its socket --------------------------------------------------------------------------------


@pytest.fixture
def address(scanner: YaraScanner) -> Address:
    install(scanner, 1, numbered(1))
    scanner.start()
    assert scanner.live
    wait_for(lambda: scanner.live is not None and scanner.live.generation != "")
    return Address.parse(scanner.socket)


def exchange(address: Address, *pieces: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(address.path)
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


ANSWERS = {
    "ping": (b"zPING\0", b"PONG\0"),
    "ping, newline": (b"nPING\n", b"PONG\n"),
    "unknown": (b"zSHUTDOWN\0", b"UNKNOWN COMMAND\0"),
    "no prefix": (b"PING", b""),
    "endless": (b"z" + b"A" * 1000, b"UNKNOWN COMMAND\0"),
    "nothing": (b"", b""),
    "cut in a chunk": (b"zINSTREAM\0\0\0\0\x09abc", b""),
    "cut before the last chunk": (b"zINSTREAM\0" + struct.pack("!I", 3) + b"abc", b""),
    "too large": (b"zINSTREAM\0\xff\xff\xff\xff", b"INSTREAM size limit exceeded. ERROR\0"),
    "nothing to scan": (b"zINSTREAM\0\0\0\0\0", b"stream: OK\0"),
}


@pytest.mark.parametrize(("sent", "answer"), ANSWERS.values(), ids=ANSWERS.keys())
def test_the_socket_answers(sent: bytes, answer: bytes, address: Address) -> None:
    assert exchange(address, sent) == answer
    assert instream.ask(address, "PING", timeout_seconds=5) == "PONG"


def test_version_names_the_generation(address: Address) -> None:
    told = instream.ask(address, "VERSION", timeout_seconds=5)
    assert told == f"yara-x {compiled.version()}/1-00000001"


def test_many_clients_are_answered_at_once(address: Address) -> None:
    def scan(number: int) -> str:
        return instream.scan(address, b"text 1!" * number, timeout_seconds=30)[1]

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(scan, range(1, 200))) == {"only_1"}


def test_a_socket_in_use_is_not_taken_and_a_dead_one_is(
    address: Address, scanner: YaraScanner
) -> None:
    second = LiveRules(scanner.folder, probe_socket=address.path)
    with pytest.raises(UsageError, match="another scanner listens"):
        second.start()
    scanner.stop()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(address.path)
    with LiveRules(scanner.folder, probe_socket=address.path):
        assert instream.ask(address, "PING", timeout_seconds=5) == "PONG"


def test_tcp_works_too(scanner: YaraScanner) -> None:
    install(scanner, 1, numbered(1))
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with LiveRules(scanner.folder, probe_socket=place):
        found = instream.scan(Address.parse(place), b"text 1!", timeout_seconds=5)
    assert found[1] == "only_1"
