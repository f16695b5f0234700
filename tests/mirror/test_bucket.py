"""The store's contract on real object stores, and what a bucket adds to it."""

import asyncio
import secrets
from datetime import datetime
from pathlib import Path

import boto3
import pytest
from msgspec import structs

from keys.errors import ConflictError, Error, LicenceError, StoreError, UnreachableError
from keys.model.standing import LicenceState
from mirror import check
from mirror.settings import LicenceSettings, Settings, StoreSettings
from mirror.site import MirrorSite
from mirror.storage import open_store, s3
from mirror.storage.bucket import BucketStore
from tests.loopback import free_port
from tests.mirror.object_stores import ObjectStore
from tests.mirror.store_contract import StoreContract, gather

pytestmark = pytest.mark.slow


def _no_licence(_settings: LicenceSettings, _now: datetime) -> LicenceState:
    raise LicenceError("there is none")


MANY_BYTES = 5 << 20  # the smallest part S3 takes


class TestOnRadosgw(StoreContract):
    @pytest.fixture
    def store(self, radosgw: ObjectStore, tmp_path: Path) -> BucketStore:
        return BucketStore(radosgw.settings(tmp_path))


class TestOnRclone(StoreContract):
    """Its creations overwrite, so the lock of this machine keeps its writers apart."""

    @pytest.fixture
    def store(self, rclone: ObjectStore, tmp_path: Path) -> BucketStore:
        return BucketStore(rclone.settings(tmp_path))


async def test_a_large_file_goes_in_parts_and_comes_back_whole(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    store, source = BucketStore(radosgw.settings(tmp_path), part_bytes=MANY_BYTES), tmp_path / "f"
    data = secrets.token_bytes(1 << 20) * 11
    source.write_bytes(data)
    await store.create("large", source)
    assert await store.read("large", max_bytes=len(data)) == data
    assert (
        await gather(store, "large", MANY_BYTES - 7, MANY_BYTES + 9)
        == (data[MANY_BYTES - 7 : MANY_BYTES + 9])
    )
    with pytest.raises(ConflictError):
        await store.create("large", source)
    await store.sweep("r")


async def test_two_prefixes_of_a_bucket_know_nothing_of_each_other(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    one, other = (BucketStore(radosgw.settings(tmp_path)) for _ in range(2))
    await one.create("r/a", b"x")
    assert await other.stat("r/a") is None
    assert [name async for name in one.names("r")] == ["r/a"]
    assert [name async for name in other.names("r")] == []


async def test_a_folder_of_thousands_is_listed_whole(radosgw: ObjectStore, tmp_path: Path) -> None:
    store = BucketStore(radosgw.settings(tmp_path))
    wanted = {f"r/{number}" for number in range(1100)}
    await asyncio.gather(*(store.create(name, b"") for name in wanted))
    assert {name async for name in store.names("r")} == wanted


async def test_an_object_changed_behind_our_back_is_not_read(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    settings = radosgw.settings(tmp_path)
    store = BucketStore(settings)
    await store.create("a", b"as written")
    bucket, _, prefix = settings.url.removeprefix("s3://").partition("/")
    client = boto3.session.Session().client("s3", endpoint_url=radosgw.endpoint)
    tags = client.head_object(Bucket=bucket, Key=f"{prefix}/a")["Metadata"]
    client.put_object(Bucket=bucket, Key=f"{prefix}/a", Body=b"as damaged", Metadata=tags)
    client.close()
    with pytest.raises(StoreError, match="not the bytes that were written"):
        await store.read("a", max_bytes=99)


async def test_a_bucket_that_overwrites_is_refused_unless_the_lock_is_trusted(
    rclone: ObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="overwrites what should only be created") as caught:
        async with BucketStore(rclone.settings(tmp_path, lock="")).writing("site"):
            pass
    assert 'store.lock = "folder"' in caught.value.hint
    async with BucketStore(rclone.settings(tmp_path)).writing("site"):
        pass


async def test_creators_on_several_machines_never_overwrite(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    stores = [
        BucketStore(radosgw.settings(tmp_path / str(number), prefix="machines"))
        for number in range(8)
    ]
    outcomes = await asyncio.gather(
        *(store.create("race", b"%d" % number) for number, store in enumerate(stores)),
        return_exceptions=True,
    )
    winners = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert len(winners) == 1
    assert await stores[0].read("race", max_bytes=9) == b"%d" % winners[0]


async def test_a_wrong_password_is_told_with_what_to_do(
    rclone: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    settings = rclone.settings(tmp_path, endpoint=rclone.endpoint.replace("127.0.0.1", "localhost"))
    with pytest.raises(StoreError) as caught:
        await BucketStore(settings).read("a", max_bytes=1)
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.hint
    assert "wrong-secret" not in f"{caught.value} {caught.value.hint}"


async def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = StoreSettings(
        url="s3://bucket", folder=str(tmp_path), endpoint=f"http://127.0.0.1:{free_port()}"
    )
    with pytest.raises(StoreError, match="gave no whole answer"):
        await open_store(settings).stat("a")


async def test_a_store_that_hangs_is_asked_as_often_as_is_said_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "HURRIED_READ_SECONDS", 0.2)
    asked: list[str] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(str(await reader.readline()))
        await reader.read()  # until the other side gives up
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = StoreSettings(
            url="s3://bucket", folder=str(tmp_path), endpoint=f"http://127.0.0.1:{port}"
        )
        store = BucketStore(settings, hurried=True)
        with pytest.raises(UnreachableError):
            await store.read("a", max_bytes=1)
    assert len(asked) == s3.HURRIED_ATTEMPTS


async def test_check_config_asks_a_bucket_for_the_repository(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    async def found(settings: StoreSettings) -> Error:
        site = MirrorSite(Settings(store=settings), _no_licence)
        problem = await check.bucket(site)
        assert problem is not None
        return problem

    empty = await found(radosgw.settings(tmp_path))
    assert "holds no repository" in str(empty)
    nowhere = await found(structs.replace(radosgw.settings(tmp_path), url="s3://nowhere/at-all"))
    assert "make the bucket" in nowhere.hint
    silent = f"http://127.0.0.1:{free_port()}"
    assert isinstance(await found(radosgw.settings(tmp_path, endpoint=silent)), UnreachableError)
    store = open_store(settings := radosgw.settings(tmp_path))
    await store.create("r/site/metadata/1.root.json", b"{}")
    assert await check.bucket(MirrorSite(Settings(store=settings), _no_licence)) is None
