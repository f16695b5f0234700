"""What hosts report is taken in once, kept in order, told again; alike on every database."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.errors import SettingsError, SignatureError, StateError
from keys.model.release import encode
from keys.model.report import ChannelRelease, EngineTold, HistoryTail, HostReport, signed_text
from mirror.fleet.audit import faults
from mirror.fleet.database import HEAD, MIGRATIONS, Database
from mirror.fleet.desk import Desk, open_desk
from mirror.settings import Settings, StoreSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
MINUTE = timedelta(minutes=1)


def engine(sequence: int = 1, **more: object) -> EngineTold:
    release = ChannelRelease(sequence=sequence, manifest_sha256="a" * 64, release=f"r{sequence}")
    told = {"engine": "clamd", "proof": "proven", "outcome": "installed", "generation": sequence}
    return msgspec.structs.replace(
        msgspec.convert({**told, **more}, EngineTold), channels={"inhouse": release}
    )


def report(number: int = 1, host: str = "mx1", series: str = "aa", **more: object) -> HostReport:
    base = HostReport(
        host=host, series=series, number=number, at=NOW + number * MINUTE,
        refreshed={"site": NOW}, engines=(engine(number),),
    )  # fmt: skip
    return msgspec.structs.replace(base, **more)


def line(number: int, *, at: datetime | None = None) -> str:
    told = {"at": at or NOW + number * MINUTE, "generation": number, "chain": f"{number:064x}"}
    releases = {"inhouse": {"sequence": number}}
    return encode({**told, "releases": releases, "proof": "proven"}).decode()


def signed(told: HostReport, *lines: str, key: Ed25519PrivateKey = KEY) -> HostReport:
    public = key.public_key().public_bytes_raw().hex()
    tails = (HistoryTail(engine="clamd", lines=lines),)
    told = msgspec.structs.replace(told, history=tails, public_key=public)
    return msgspec.structs.replace(told, signature=key.sign(signed_text(told)).hex())


async def take(desk: Desk, told: HostReport, *, now: datetime = NOW) -> bool:
    return (await desk.take(told, encode(told), now=now)).taken


async def faults_of(desk: Desk) -> list[str]:
    return [fault async for fault in faults(desk.database)]


async def test_a_report_says_what_its_host_runs(desk: Desk) -> None:
    assert await take(desk, report(1))
    (host,) = await desk.hosts()
    assert (host.name, host.received, host.refreshed) == ("mx1", NOW, NOW)
    (found,) = host.engines
    assert (found.engine, found.proof, found.generation) == ("clamd", "proven", 1)
    assert [(load.channel, load.sequence) for load in found.loads] == [("inhouse", 1)]


async def test_a_report_sent_twice_counts_once(desk: Desk) -> None:
    assert await take(desk, report(1))
    assert not await take(desk, report(1), now=NOW + MINUTE)
    assert (await desk.hosts())[0].received == NOW


async def test_a_late_report_changes_nothing_of_what_is_known(desk: Desk) -> None:
    await take(desk, report(5))
    assert await take(desk, report(4), now=NOW + MINUTE)
    assert (await desk.hosts())[0].engines[0].generation == 5
    assert await faults_of(desk) == []


async def test_a_host_set_up_anew_starts_its_numbers_again(desk: Desk) -> None:
    await take(desk, report(50))
    await take(desk, report(1, series="bb"), now=NOW + MINUTE)
    assert (await desk.hosts())[0].engines[0].generation == 1


async def test_an_engine_that_is_gone_is_listed_no_more(desk: Desk) -> None:
    await take(desk, report(1, engines=(engine(), engine(engine="yara"))))
    await take(desk, report(2))
    assert [found.engine for found in (await desk.hosts())[0].engines] == ["clamd"]


async def test_hosts_of_a_track_are_read_without_the_others(desk: Desk) -> None:
    await take(desk, report(1, engines=(engine(track="canary"), engine(engine="yara"))))
    await take(desk, report(1, host="mx2", engines=(engine(track="stable"),)))
    (host,) = await desk.hosts(track="canary")
    assert (host.name, [one.engine for one in host.engines]) == ("mx1", ["clamd", "yara"])
    assert [one.name for one in await desk.hosts()] == ["mx1", "mx2"]


async def test_history_tells_what_ran_at_a_time_and_who_signed_it(desk: Desk) -> None:
    await take(desk, signed(report(1), line(1), line(2)))
    await take(desk, signed(report(2), line(3)))
    (past,) = await desk.at(NOW + timedelta(minutes=2, seconds=30))
    assert (past.host, past.engine, past.line["generation"]) == ("mx1", "clamd", 2)
    assert past.public_key == KEY.public_key().public_bytes_raw().hex()
    assert await desk.at(NOW) == []


async def test_history_told_twice_is_kept_once(desk: Desk) -> None:
    await take(desk, signed(report(1), line(1)))
    await take(desk, signed(report(2), line(1), line(2)))
    async with desk.database.reading() as connection:
        count = await connection.execute(sa.text("SELECT count(*) FROM history"))
        assert count.scalar() == 2
    assert await faults_of(desk) == []


@pytest.mark.parametrize("damage", ["line", "host", "signature", "none"])
async def test_a_history_its_host_did_not_sign_is_refused(desk: Desk, damage: str) -> None:
    told = signed(report(1), line(1))
    forged = {
        "line": msgspec.structs.replace(
            told, history=(HistoryTail(engine="clamd", lines=(line(2),)),)
        ),
        "host": msgspec.structs.replace(told, host="mx2"),
        "signature": msgspec.structs.replace(told, signature="00" * 64),
        "none": msgspec.structs.replace(told, signature="", public_key=""),
    }[damage]
    with pytest.raises(SignatureError, match="not signed"):
        await take(desk, forged)
    assert await desk.hosts() == []


async def test_an_honest_record_has_no_faults(desk: Desk) -> None:
    for number in range(1, 5):
        await take(desk, signed(report(number), line(number)), now=NOW + number * MINUTE)
        await take(desk, report(number, host="mx2"), now=NOW + number * MINUTE)
    assert await faults_of(desk) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE reports SET body = replace(body, 'proven', 'probed') WHERE id = 2", "was changed"),
        ("DELETE FROM reports WHERE id = 2", "does not follow"),
        ("DELETE FROM reports WHERE id = 3", "newest report is missing"),
        ("UPDATE statements SET body = replace(body, 'proven', 'failed')", "signature does not"),
        ("UPDATE history SET line = replace(line, 'proven', 'failed')", "no signed statement"),
        ("DELETE FROM statements WHERE id = 1", "no signed statement"),
    ],
)
async def test_a_changed_record_is_found(desk: Desk, change: str, fault: str) -> None:
    for number in range(1, 4):
        await take(desk, signed(report(number), line(number)))
    async with desk.database.changing() as connection:
        await connection.execute(sa.text(change))
    assert any(fault in found for found in await faults_of(desk))


async def test_old_reports_go_by_age_and_what_is_known_stays(desk: Desk) -> None:
    for number in range(1, 4):
        await take(desk, signed(report(number), line(number)), now=NOW + number * MINUTE)
    assert await desk.forget(NOW + timedelta(days=365)) == 2
    assert (await desk.hosts())[0].engines[0].generation == 3
    assert len(await desk.at(NOW + timedelta(minutes=2))) == 1
    assert await faults_of(desk) == []


async def test_a_removed_host_is_listed_no_more_and_stays_on_record(desk: Desk) -> None:
    await take(desk, signed(report(1), line(1)))
    await desk.remove("mx1")
    assert await desk.hosts() == []
    assert len(await desk.at(NOW + MINUTE)) == 1
    await take(desk, report(2))
    assert await faults_of(desk) == []


async def test_hosts_that_report_at_once_do_not_disturb_each_other(desk: Desk) -> None:
    told = [report(n, host=f"mx{host}") for host in range(10) for n in range(1, 4)]
    assert all(await asyncio.gather(*(take(desk, one) for one in told)))
    assert [host.engines[0].generation for host in await desk.hosts()] == [3] * 10
    assert await faults_of(desk) == []


async def test_a_database_is_opened_again_with_all_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    for number in (1, 2):
        database = Database(url)
        await database.connect()
        await take(Desk(database), report(number))
        await database.close()
    with sqlite3.connect(tmp_path / "fleet.db") as plain:
        assert plain.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    plain.close()
    assert max(path.stem[:4] for path in MIGRATIONS.glob("versions/0*.py")) == HEAD


async def test_a_database_of_a_newer_version_is_refused_by_name_and_left_alone(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    database = Database(url)
    await database.connect()
    async with database.changing() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StateError, match="version 9999, newer than"):
        await Database(url).connect()


async def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    plain = sa.create_engine(url)
    with plain.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        values = "'mx1', :now, :now, :now, 'aa', 1, '', '', 0, :now, '', 7, 3, '', '', ''"
        connection.execute(sa.text(f"INSERT INTO hosts VALUES ({values})"), {"now": str(NOW)})  # noqa: S608 - our own
    plain.dispose()
    database = Database(url)
    await database.connect()
    (host,) = await Desk(database).hosts()
    assert (host.name, host.seats, host.settings, host.turns) == ("mx1", 3, None, ())
    assert await take(Desk(database), report(2))
    await database.close()


async def test_a_mirrors_own_database_is_read_by_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(store=StoreSettings(url=f"file://{tmp_path}"))
    for number in (1, 2):
        desk = await open_desk(settings)
        await take(desk, report(number))
        await desk.database.close()
    assert (tmp_path / "state/fleet.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root@host/x", "unknown kind"),
        ("postgresql://fleet:secret-word@host/x", "holds a password"),
        ("no address", "not an address"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(
    url: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        Database(url)
    assert "secret-word" not in str(refused.value)


async def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"fleet\.database: sqlite"):
        await Database(f"sqlite:///{tmp_path}/none/fleet.db").connect()
    with pytest.raises(StateError, match=r"fleet\.database: postgresql"):
        await Database("postgresql://fleet@127.0.0.1:1/x").connect()
