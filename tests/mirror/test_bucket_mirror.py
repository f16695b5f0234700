"""A mirror whose repository lies in a bucket: contended for, cut off, and whole."""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keys.errors import Error, HandedOverError, LockedError
from keys.model.release import Pin, blob_name
from keys.signing.ceremony import Plan, compose, write_keys
from keys.signing.keyring import open_ring
from keys.signing.layout import Layout
from keys.signing.publisher import Publisher
from keys.trust.tuf_api import Signer
from mirror.edition import Editions
from mirror.handover import Handing
from mirror.intake import Label
from mirror.journal import Entry, Journal
from mirror.publish import Published, Publishing
from mirror.repository import StoredRepository
from mirror.storage import FilesystemStore, Store, s3
from mirror.storage.bucket import BucketStore
from mirror.transfer import Transfer
from tests.fleet import Fleet
from tests.fleet import Host as FleetHost
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.cutting import Cutter, Side
from tests.mirror.object_stores import BUCKET, ObjectStore
from tests.mirror.serving import Process, wait_for
from tests.mirror.site import BY, NOW, Client, candidate

pytestmark = pytest.mark.slow
MAX_REQUESTS = 1000  # of one publish


Meanwhile = Callable[[], Awaitable[object]]


class Interrupted(Journal):
    """A publish log: it is written to once everything is signed and nothing is committed."""

    meanwhile: Meanwhile | None = None

    async def append(self, entry: Entry) -> None:
        if self.meanwhile is not None:
            await self.meanwhile()
        await super().append(entry)


@dataclass(frozen=True)
class Puller:
    """A machine that publishes to a repository in a bucket; the keys are the same everywhere."""

    server: ObjectStore
    prefix: str
    folder: Path
    keys: Path
    endpoint: str = ""

    @classmethod
    async def found(cls, server: ObjectStore, folder: Path) -> "Puller":
        plan = Plan(root_threshold=1, root_keys=1)
        founding = compose(
            plan, offline_passphrase=PASSPHRASE, online_passphrase=PASSPHRASE, now=NOW
        )
        layout = Layout(folder / "first")
        write_keys(founding, layout)
        puller = cls(server, uuid.uuid4().hex, folder / "first", layout.online)
        await puller.repository.commit(founding.metadata)
        return puller

    def elsewhere(self, name: str, *, endpoint: str = "") -> "Puller":
        """Return another machine."""
        return Puller(self.server, self.prefix, self.folder.parent / name, self.keys, endpoint)

    @property
    def store(self) -> BucketStore:
        return BucketStore(
            self.server.settings(self.folder, prefix=self.prefix, endpoint=self.endpoint)
        )

    @property
    def repository(self) -> StoredRepository:
        return StoredRepository(self.store, "site")

    async def hands_over(self, to: Store) -> None:
        transfer = Transfer(self.store, to, self.folder / "scratch")
        editions = Editions(self.repository, self._sign, Journal(self.folder / "publish.jsonl"))
        await Handing(transfer, editions, ["site"], "here", "there").over(BY, now=NOW)

    def _sign(self, metadata: Mapping[str, bytes]) -> Publisher:
        return Publisher(metadata, _ring(self.keys, self.prefix), {})

    async def publishes(self, text: bytes, *, meanwhile: Meanwhile | None = None) -> Published:
        """Publish a release; ``meanwhile`` happens between its signing and its commit."""
        journal = Interrupted(self.folder / "state/publish.jsonl")
        journal.meanwhile = meanwhile
        source = self.folder / "sources" / uuid.uuid4().hex
        editions = Editions(self.repository, self._sign, journal)
        return await Publishing(editions, keep_releases=2).release(
            candidate(source, {"a.yar": text}),
            channel="inhouse", track="stable", label=Label("yara"), by=BY, now=NOW,
        )  # fmt: skip


@functools.cache
def _ring(keys: Path, _founding: str) -> Mapping[str, Signer]:
    """Open keys once, dear as that is; a folder's name may come again for another founding."""
    return open_ring(keys, PASSPHRASE)


def bucket_of(server: ObjectStore) -> s3.Bucket:
    return s3.Bucket(s3.Endpoint(server.endpoint, "us-east-1", "path"), BUCKET, part_bytes=1)


@dataclass(frozen=True)
class Host(Client):
    """A host that reads the bucket itself, and remembers what it has seen."""

    bucket: s3.Bucket
    prefix: str

    @classmethod
    def of(cls, puller: Puller, folder: Path) -> "Host":
        bucket = bucket_of(puller.server)
        host = cls(folder / "served", folder / "host", bucket, f"{puller.prefix}/r/site")
        (host.served / "metadata").mkdir(parents=True)
        root = host.read("1.root.json", max_bytes=1 << 20)
        (host.served / "metadata/1.root.json").write_bytes(root)
        return host

    def read(self, name: str, *, max_bytes: int) -> bytes:
        return self.bucket.read(f"{self.prefix}/metadata/{name}", max_bytes)

    def blob(self, target: str, pin: Pin, max_bytes: int) -> bytes:
        name = f"{self.prefix}/targets/{blob_name(target, pin.sha256)}"
        return pin.check(self.bucket.read(name, max_bytes), target)

    async def gets(self) -> bytes:
        return (await asyncio.to_thread(self.contents, "inhouse"))["a.yar"]


async def test_of_two_pullers_the_first_commits_and_the_other_changes_nothing(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    one = await Puller.found(radosgw, tmp_path)
    other, host = one.elsewhere("second"), Host.of(one, tmp_path)
    with pytest.raises(LockedError, match="another writer was first") as caught:
        await one.publishes(b"rule one", meanwhile=lambda: other.publishes(b"rule other"))
    assert "nothing was changed" in caught.value.hint
    assert await host.gets() == b"rule other"
    await one.publishes(b"rule one")
    assert await host.gets() == b"rule one"


async def test_a_publish_that_a_handover_overtakes_changes_nothing(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    one = await Puller.found(radosgw, tmp_path)
    other, there = one.elsewhere("second"), FilesystemStore(tmp_path / "there")
    await one.publishes(b"rule one")
    with pytest.raises(LockedError, match="another writer was first"):
        await one.publishes(b"rule two", meanwhile=lambda: other.hands_over(there))
    with pytest.raises(HandedOverError, match="handed over to there"):
        await one.publishes(b"rule two")
    here, moved = await one.repository.in_force(), StoredRepository(there, "site")
    assert (await moved.in_force()).metadata == here.metadata
    assert await moved.handover() is None


async def test_pullers_at_once_leave_what_one_of_them_published(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    first = await Puller.found(radosgw, tmp_path)
    host, pullers = Host.of(first, tmp_path), [first, *map(first.elsewhere, "bcd")]
    for number in range(3):
        texts = [b"rule %d-%d" % (number, place) for place in range(len(pullers))]
        outcomes = await asyncio.gather(
            *(puller.publishes(text) for puller, text in zip(pullers, texts, strict=True)),
            return_exceptions=True,
        )
        won = [text for text, it in zip(texts, outcomes, strict=True) if isinstance(it, Published)]
        assert all(isinstance(it, (Published, LockedError)) for it in outcomes), outcomes
        assert await host.gets() in won


@pytest.mark.parametrize("side", ["unsent", "unanswered"])
async def test_a_publish_cut_at_any_request_leaves_the_old_or_the_new_repository_whole(
    radosgw: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: Side
) -> None:
    puller = await Puller.found(radosgw, tmp_path)
    host, address = Host.of(puller, tmp_path), urlsplit(radosgw.endpoint)
    old = b"rule first"
    await puller.publishes(old)
    monkeypatch.setattr(s3, "ATTEMPTS", 1)  # the proxy stays cut: trying again only takes time
    cutter = Cutter((str(address.hostname), int(address.port or 0)), 0, side)
    with cutter.running() as endpoint:
        for number in range(1, MAX_REQUESTS):
            new, after = b"rule new %d" % number, b"rule after %d" % number
            cutter.arm(number)
            try:
                await puller.elsewhere("cut", endpoint=endpoint).publishes(new)
                failed = False
            except Error:
                failed = True
            assert failed or not cutter.cut or side == "unanswered", number
            got = await host.gets()
            assert got in ({old, new} if failed else {new}), number
            if not (failed or cutter.cut):
                break
            await puller.elsewhere("next").publishes(after)
            assert await host.gets() == after, number
            old = after
    print(f"cut at {number - 1} requests")
    assert number > 20


async def test_an_answer_that_is_lost_is_no_other_writer(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    """Each creation is cut once after the store has made the object; the repetition finds it."""
    address = urlsplit(radosgw.endpoint)
    cutter = Cutter((str(address.hostname), int(address.port or 0)), 1, "unanswered", once=True)
    with cutter.running() as endpoint:
        store = BucketStore(radosgw.settings(tmp_path, endpoint=endpoint))
        await store.create("a", b"x")
        assert await store.read("a", max_bytes=1) == b"x"


def test_a_mirror_in_a_bucket_is_founded_filled_served_and_installed_from(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    fleet, prefix = Fleet(tmp_path), uuid.uuid4().hex
    passphrase, folder = tmp_path / "passphrase", tmp_path / "mirror"
    passphrase.write_text("correct horse battery")
    words = [
        "init", "--folder", folder, "--passphrase-file", passphrase, "--listen", "127.0.0.1:0",
        "--store", f"s3://{BUCKET}/{prefix}", "--endpoint", radosgw.endpoint,
        "--region", "us-east-1",
    ]  # fmt: skip
    fleet.sigmirror(*words)
    assert not (folder / "r").exists()
    text = fleet.config.read_text()
    fleet.config.write_text(text.replace("[serve]", '[serve]\nmetrics_listen = ""'))
    fleet.sigmirror("check-config")
    fleet.publish("rule one")
    with Process.started(fleet.config, tmp_path / "log") as process:
        fleet.url = f"http://{process.address}"
        root = folder / "r/site/metadata/1.root.json"
        root.parent.mkdir(parents=True)
        root.write_bytes(bucket_of(radosgw).read(f"{prefix}/r/site/metadata/1.root.json", 1 << 20))
        host = fleet.host("gateway")
        host.sigupdate("run")
        fleet.publish("rule two")
        wait_for(lambda: _installed(host) == "rule two", "the second release")
    fleet.sigmirror("gc")


def _installed(host: FleetHost) -> str:
    host.sigupdate("run")
    found = host.folder.glob("state/**/current/**/rules.txt")
    return next(found).read_text()
