"""What the commands publish is an ordinary TUF repository that any static server can serve."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from keys.model.release import Pin, file_target, manifest_target, track_target
from tests.loopback import folder_served
from tests.plain_clients import (
    PlainClient,
    PythonTuf,
    RefusedByClientError,
    TufJs,
    install_tuf_js,
)

CHANNEL = "inhouse"
FIRST = {
    "a.yar": b"rule a { condition: false }\n",
    "deep/er/and/deeper/b.yar": b"rule b { condition: false }\n",
    "with blank.yar": b"rule c { condition: false }\n",
    "日本語/規則.yar": b"rule d { condition: false }\n",
    "100%+me@home#1?.yar": b"rule e { condition: false }\n",
    "empty.ign2": b"",
}
SECOND = {**FIRST, "a.yar": b"rule a { condition: filesize == 2 }\n", "new.yar": b"rule n {}\n"}

Trust = Callable[[str], PlainClient]  # its trusted copy starts with the repository's first root


def command(program: str, *words: str | Path) -> None:
    """Run an installed command."""
    path = Path(sys.executable).with_name(program)
    subprocess.run([path, *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Published:
    """A mirror's folder, filled by the commands and served by a server that knows nothing."""

    folder: Path
    url: str

    def sigmirror(self, *words: str) -> None:
        command("sigmirror", *words, "--config", self.folder.parent / "sigmirror.toml")

    def publish(self, contents: Mapping[str, bytes]) -> None:
        folder = self.folder.parent / f"release-{len(list(self.folder.parent.iterdir()))}"
        for path, data in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        self.sigmirror("publish", CHANNEL, str(folder))

    @property
    def metadata(self) -> Path:
        return self.folder / "r/site/metadata"

    @property
    def root(self) -> bytes:
        return (self.metadata / "1.root.json").read_bytes()

    def flip(self, name: str) -> None:
        """Flip one bit in the middle of each served file whose name ends so."""
        for path in (self.folder / "r/site").rglob(f"*{name}"):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.unlink()
            path.write_bytes(data)


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    folder = tmp_path / "mirror"
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase of the test")
    command("sigkeys", "init", folder, "--passphrase-file", passphrase)
    (tmp_path / "sigmirror.toml").write_text(
        f'[store]\nurl = "file://{folder}"\n[signing]\npassphrase_file = "{passphrase}"\n'
    )
    with folder_served(folder) as address:
        mirror = Published(folder, f"{address}/r/site")
        mirror.publish(FIRST)
        yield mirror


@pytest.fixture(params=["python-tuf", "tuf-js"])
def client(request: pytest.FixtureRequest, published: Published, tmp_path: Path) -> PlainClient:
    folder = tmp_path / "client"
    if request.param == "python-tuf":
        return PythonTuf.trusting(published.root, folder, published.url)
    cache = request.config.cache
    assert cache is not None
    modules = install_tuf_js(cache.mkdir("tuf-js"))
    return TufJs.trusting(published.root, folder, published.url, modules=modules)


def expected(contents: Mapping[str, bytes]) -> dict[str, str | None]:
    return {file_target(CHANNEL, path): Pin.of(data).sha256 for path, data in contents.items()}


def test_any_tuf_client_reads_every_file_of_a_release(
    client: PlainClient, published: Published
) -> None:
    wanted = expected(FIRST)
    assert client.read(*wanted) == wanted
    published.publish(SECOND)
    wanted = expected(SECOND)
    assert client.read(*wanted) == wanted


def test_any_tuf_client_reads_manifests_and_tracks(
    client: PlainClient, published: Published
) -> None:
    published.publish(SECOND)
    wanted = [manifest_target(CHANNEL, 1), manifest_target(CHANNEL, 2)]
    assert all(client.read(*wanted, track_target(CHANNEL, "stable")).values())


def test_any_tuf_client_follows_an_ordered_rollback(
    client: PlainClient, published: Published
) -> None:
    published.publish(SECOND)
    assert client.read(*expected(SECOND)) == expected(SECOND)
    published.sigmirror("point", CHANNEL, "stable", "1")
    gone = {file_target(CHANNEL, "new.yar"): None}
    assert client.read(*expected(FIRST), *gone) == {**expected(FIRST), **gone}


def test_what_is_not_published_is_listed_nowhere(client: PlainClient) -> None:
    absent = [file_target(CHANNEL, "absent.yar"), "other/files/a.yar", "a.yar"]
    assert client.read(*absent) == dict.fromkeys(absent)


@pytest.mark.parametrize("file", [".a.yar", "timestamp.json", "channels.json"])
def test_any_tuf_client_refuses_a_flipped_bit(
    client: PlainClient, published: Published, file: str
) -> None:
    published.flip(file)
    with pytest.raises(RefusedByClientError):
        client.read(file_target(CHANNEL, "a.yar"))


def test_any_tuf_client_refuses_an_older_timestamp(
    client: PlainClient, published: Published
) -> None:
    older = (published.metadata / "timestamp.json").read_bytes()
    published.publish(SECOND)
    client.read(*expected(SECOND))
    (published.metadata / "timestamp.json").write_bytes(older)
    with pytest.raises(RefusedByClientError):
        client.read(*expected(FIRST))


def test_any_tuf_client_follows_a_renewed_root(
    client: PlainClient, published: Published, tmp_path: Path
) -> None:
    wanted = expected(FIRST)
    assert client.read(*wanted) == wanted
    command("sigkeys", "renew", published.folder, "--passphrase-file", tmp_path / "passphrase")
    assert (published.metadata / "2.root.json").exists()
    published.publish(SECOND)
    assert client.read(*expected(SECOND)) == expected(SECOND)
