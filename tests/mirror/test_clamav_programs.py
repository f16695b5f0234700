"""Databases brought by the real cvdupdate and the real freshclam."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keys.credentials import Credential, Secret
from keys.errors import FetchError, LimitError, RollbackError, SettingsError, TrustError
from keys.trust.vendor import rsa
from mirror.upstream.answers import BusyError
from mirror.upstream.base import Pull
from mirror.upstream.clamav import program
from mirror.upstream.redaction import Redactor
from tests.clamav_vendor import VENDOR, issue
from tests.cvdupdate import cvdupdate
from tests.mirror.clamav_pulling import Pulling, names
from tests.mirror.clamav_vendor_server import RECORD, ClamavServer, serving
from tests.mirror.serving import wait_for

ONE = issue(1, hdb="a\n")
TWO = issue(2, hdb="a\nb\n")
THREE = issue(3, hdb="a\nb\nc\n")


@pytest.fixture
async def server() -> AsyncIterator[ClamavServer]:
    async with serving(ClamavServer()) as one:
        one.record(main=1, daily=1, bytecode=1)
        yield one


def by_cvdupdate(folder: Path, server: ClamavServer) -> Pulling:
    executable = cvdupdate(folder, dns_port=server.dns_port)
    settings = {
        "driver": "cvdupdate", "program": str(executable),
        "dns": RECORD, "resolver": server.resolver,
    }  # fmt: skip
    return Pulling(folder, server, settings)


def by_freshclam(folder: Path, server: ClamavServer) -> Pulling:
    if shutil.which("freshclam") is None:
        pytest.skip("freshclam is not installed: apt-get install clamav-freshclam")
    return Pulling(folder, server, {"driver": "freshclam"}, keys=rsa.CLAMAV)


@pytest.mark.slow
class TestCvdupdate:
    @pytest.fixture
    def genuine(self, tmp_path: Path, server: ClamavServer) -> Pulling:
        pulling = by_cvdupdate(tmp_path, server)
        pulling.keys = rsa.CLAMAV
        return pulling

    @pytest.fixture
    def daily(self, tmp_path: Path, server: ClamavServer) -> Pulling:
        pulling = by_cvdupdate(tmp_path, server)
        pulling.settings["databases"] = ("daily",)
        return pulling

    async def test_it_follows_a_genuine_database_with_cdiffs_and_signatures(
        self, genuine: Pulling
    ) -> None:
        genuine.server.genuine(1)
        first = await genuine.release()
        assert (first.release, names(first)) == ("test-1", {"test.cvd", "test-1.cvd.sign"})
        genuine.server.genuine(2)
        await genuine.release()
        genuine.server.genuine(3)
        third = await genuine.release()
        assert names(third) == {
            "test.cvd", "test-3.cvd.sign",
            "test-2.cdiff", "test-2.cdiff.sign", "test-3.cdiff", "test-3.cdiff.sign",
        }  # fmt: skip
        assert genuine.held() == names(third), "what no release needs is removed"

    async def test_no_change_is_one_txt_query_and_no_request(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        await daily.release()
        daily.server.forget()
        assert await daily.pull() is None
        assert (daily.server.queries, daily.server.asked) == ([RECORD], [])

    async def test_it_calls_itself_by_its_own_name(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        await daily.release()
        assert all(asked.agent.startswith("CVDUPDATE/1.2.0 (") for asked in daily.server.asked)
        assert len({asked.agent for asked in daily.server.asked}) == 1

    async def test_it_is_one_installation_to_the_vendor_however_often_it_runs(
        self, daily: Pulling
    ) -> None:
        for old, new in ((None, ONE), (ONE, TWO)):
            daily.server.release(new, old)
            daily.server.record(daily=new.version)
            await daily.release()
        assert len({asked.agent for asked in daily.server.asked}) == 1

    async def test_its_requests_are_told(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        upstream = daily.upstream()
        await upstream.check(now=daily.now)
        quarantine = daily.folder / "quarantine"
        quarantine.mkdir()
        await upstream.fetch(quarantine, Pull(daily.now))
        asked = [daily.server.queries[0], *daily.server.asked]  # its own query is not told
        assert upstream.transcript.requests == len(asked)
        assert upstream.transcript.received >= len(daily.server.files["daily.cvd"])

    async def test_garbage_that_it_takes_is_refused_and_asked_for_again(
        self, daily: Pulling
    ) -> None:
        daily.server.release(ONE)
        await daily.release()
        header = f"ClamAV-VDB:01 Jan 2026 00-00 +0000:99:1:63:{'0' * 32}:garbage:me:1767225600"
        daily.server.files["daily.cvd"] = header.encode().ljust(512) + bytes(1 << 20)
        daily.server.record(daily=2)
        with pytest.raises(TrustError, match=r"daily\.cvd"):
            await daily.pull()
        daily.server.release(TWO, ONE)
        assert (await daily.release()).release == "daily-2"

    async def test_a_torn_write_is_refused_and_asked_for_again(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        await daily.release()
        daily.server.release(TWO, ONE)
        daily.server.record(daily=2)
        os.truncate(daily.working / "daily.cvd", 700)
        assert (await daily.release()).release == "daily-2"
        daily.last = ""
        os.truncate(daily.working / "daily.cvd", 700)
        with pytest.raises(TrustError, match="cut off"):
            await daily.pull()
        assert (await daily.release()).release == "daily-2"

    async def test_an_older_database_is_not_published(self, daily: Pulling) -> None:
        daily.server.release(TWO)
        daily.server.record(daily=2)
        await daily.release()
        (daily.working / "daily.cvd").unlink()
        daily.server.release(ONE)
        daily.server.record(daily=1)
        with pytest.raises(RollbackError, match="version 1, though version 2"):
            await daily.pull()

    async def test_a_mirror_behind_the_record_is_asked_again_later(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        await daily.release()
        daily.server.record(daily=2)
        with pytest.raises(FetchError, match="the mirror is not in sync"):
            await daily.pull()

    async def test_without_an_answer_to_its_query_it_is_not_even_run(self, daily: Pulling) -> None:
        daily.server.txt = ""
        daily.server.release(ONE)
        with pytest.raises(FetchError, match="there is no TXT record"):
            await daily.pull()
        assert daily.server.asked == []

    @pytest.mark.parametrize(
        ("status", "headers", "least", "most"),
        [
            (403, {}, 86400, 86400),
            (429, {"Retry-After": "1000"}, 900, 1000),
            (429, {}, 11.9 * 3600, 12 * 3600),
        ],
    )
    async def test_a_block_is_a_cool_down(
        self, daily: Pulling, status: int, headers: dict[str, str], least: float, most: float
    ) -> None:
        daily.server.release(ONE)
        daily.server.statuses["*"] = (status, headers)
        with pytest.raises(BusyError, match=str(status)) as caught:
            await daily.pull()
        assert least <= caught.value.seconds <= most

    async def test_its_failure_is_told_in_its_own_words(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        daily.server.statuses["daily.cvd"] = (500, {})
        with pytest.raises(FetchError, match=r"cvdupdate: exit 1: .*Failed to download daily"):
            await daily.pull()

    async def test_a_database_beyond_the_limit_is_not_taken(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        await daily.release()
        daily.server.release(TWO, ONE)
        daily.server.record(daily=2)
        daily.settings["max_release_bytes"] = 500
        with pytest.raises((LimitError, FetchError)):
            await daily.pull()

    async def test_a_damaged_state_file_is_begun_anew(self, daily: Pulling) -> None:
        daily.server.release(ONE)
        await daily.release()
        (daily.folder / "state/cvdupdate/state.json").write_text("{")
        daily.server.release(TWO, ONE)
        daily.server.record(daily=2)
        assert (await daily.release()).release == "daily-2"

    async def test_it_lacks_nothing(self, daily: Pulling) -> None:
        daily.settings["certificates"] = str(VENDOR.certificates(daily.folder / "certificates"))
        assert daily.upstream().lacks == ()


class TestFreshclam:
    @pytest.fixture
    def genuine(self, tmp_path: Path, server: ClamavServer) -> Pulling:
        return by_freshclam(tmp_path, server)

    async def test_it_brings_whole_databases_only(self, genuine: Pulling) -> None:
        for version in (1, 2, 3):
            genuine.server.genuine(version)
            brought = await genuine.release()
            assert (brought.release, names(brought)) == (f"test-{version}", {"test.cvd"})
        assert not any("cdiff" in path for path in genuine.server.paths)
        assert any("cdiff" in lack for lack in genuine.upstream().lacks)

    async def test_no_change_is_a_small_request_of_our_own(self, genuine: Pulling) -> None:
        genuine.server.genuine(1)
        await genuine.release()
        genuine.server.forget()
        assert await genuine.pull() is None
        (asked,) = genuine.server.asked
        assert (asked.range, asked.agent.partition("/")[0]) == ("bytes=0-511", "sigmirror")
        assert genuine.server.sent == 0

    async def test_an_older_database_is_a_rollback(self, genuine: Pulling) -> None:
        genuine.server.genuine(2)
        await genuine.release()
        genuine.server.genuine(1)
        genuine.server.dates = False
        with pytest.raises(RollbackError, match="version 1; version 2 was there before"):
            await genuine.pull()

    async def test_its_requests_are_told_and_the_password_is_not(self, genuine: Pulling) -> None:
        genuine.credential = Credential("mirror", Secret("s3cret/word"))
        genuine.server.authorization = genuine.credential.basic()
        genuine.server.genuine(1)
        await genuine.release()
        written = (genuine.folder / "state/freshclam/freshclam.conf").stat()
        assert written.st_mode & 0o777 == 0o600
        genuine.server.genuine(2)
        upstream = genuine.upstream()
        offer = await upstream.check(now=genuine.now)
        genuine.server.statuses["*"] = (500, {})
        with pytest.raises(FetchError) as caught:
            await upstream.fetch(genuine.folder / "quarantine-1", Pull(genuine.now))
        told = f"{caught.value} {caught.value.hint} {upstream.transcript.text()} {offer}"
        assert "127.0.0.1" in told
        for secret in ("s3cret", genuine.credential.basic().removeprefix("Basic ")):
            assert secret not in told

    @pytest.mark.parametrize(
        ("status", "headers", "seconds"),
        [(403, {}, 86400), (429, {"Retry-After": "77"}, 77), (429, {}, 4 * 3600)],
    )
    async def test_a_block_is_a_cool_down(
        self, genuine: Pulling, status: int, headers: dict[str, str], seconds: float
    ) -> None:
        genuine.server.genuine(1)
        upstream = genuine.upstream()
        await upstream.check(now=genuine.now)
        genuine.server.statuses["*"] = (status, headers)
        with pytest.raises(BusyError, match=str(status)) as caught:
            await upstream.fetch(genuine.folder, Pull(genuine.now))
        assert caught.value.seconds == seconds
        genuine.server.statuses.clear()
        with pytest.raises(BusyError, match="asks nothing before"):
            await genuine.pull()

    async def test_its_failure_is_told_in_its_own_words(self, genuine: Pulling) -> None:
        genuine.server.genuine(1)
        upstream = genuine.upstream()
        await upstream.check(now=genuine.now)
        genuine.server.files.clear()
        with pytest.raises(FetchError, match=r"freshclam: exit \d+: ERROR: .*"):
            await upstream.fetch(genuine.folder, Pull(genuine.now))

    async def test_what_it_takes_is_proven_again(self, genuine: Pulling) -> None:
        genuine.server.genuine(1)
        await genuine.release()
        database = genuine.working / "test.cvd"
        data = bytearray(database.read_bytes())
        data[-1] ^= 1
        database.write_bytes(data)
        genuine.last = ""
        with pytest.raises(TrustError, match=r"test\.cvd"):
            await genuine.pull()
        assert (await genuine.release()).release == "test-1"


def owner(path: Path) -> int:
    return path.stat().st_uid


def runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().split()[2] not in "ZX"


class TestProgram:
    async def run(self, folder: Path, script: str, *, seconds: float = 60) -> program.Ran:
        redactor = Redactor([Secret("hunter2")])
        limits = program.Limits(seconds, 1 << 20)
        return await program.run(
            ["/bin/sh", "-c", script], folder=folder, limits=limits, redactor=redactor
        )

    async def test_a_program_cannot_fill_the_disk_with_one_file(self, tmp_path: Path) -> None:
        ran = await self.run(tmp_path, "head -c 5000000 /dev/zero > big")
        assert ran.code
        assert (tmp_path / "big").stat().st_size <= 1 << 20

    async def test_a_program_that_hangs_is_ended_with_all_it_started(self, tmp_path: Path) -> None:
        with pytest.raises(LimitError, match=r"max_pull_seconds=0\.5"):
            await self.run(tmp_path, "sleep 1000 & echo $! > child; sleep 1000", seconds=0.5)
        child = int((tmp_path / "child").read_text())
        wait_for(lambda: not runs(child), "its child's end")

    async def test_a_program_writes_as_the_owner_of_its_folder(self, tmp_path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(tmp_path, 65534, 65534)
        ran = await self.run(tmp_path, "touch made && id -u")
        assert int(ran.output) == owner(tmp_path) == owner(tmp_path / "made")

    async def test_a_program_that_floods_is_read_and_forgotten(self, tmp_path: Path) -> None:
        ran = await self.run(tmp_path, "head -c 5000000 /dev/zero | tr '\\0' x; exit 3")
        assert (ran.code, len(ran.output)) == (3, program.MAX_OUTPUT_BYTES)

    async def test_a_program_sees_nothing_of_our_secrets(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIGMIRROR_PASSPHRASE", "open sesame")
        assert "sesame" not in (await self.run(tmp_path, "env")).output

    async def test_what_it_says_holds_no_secret(self, tmp_path: Path) -> None:
        ran = await self.run(tmp_path, "echo http://me:hunter2@there/x?key=hunter2 hunter2")
        assert "hunter2" not in ran.output
        assert ran.told("there") == "http://***@there/x ***"

    def test_a_program_that_is_missing_is_named_with_the_line_that_installs_it(self) -> None:
        with pytest.raises(SettingsError, match="no-such-program is not installed") as caught:
            program.locate("", "no-such-program", hint="apt-get install it")
        assert caught.value.hint == "apt-get install it"
        with pytest.raises(SettingsError, match="/nowhere/cvd: there is no such program"):
            program.locate("/nowhere/cvd", "cvd", hint="")
