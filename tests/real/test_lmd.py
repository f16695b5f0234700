"""Linux Malware Detect's definitions of 2012 and 2013, from a signed repository to a real clamd.

The .hdb files hold digests of malware, which nobody can write a sample for; the signature looked
for is one of the .ndb file that 2013 brought: its sample is made from its own pattern.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_data import real_data
from tests.tuf_repository import ChannelRepository
from tests.updater.clamd_host import Command
from tests.updater.clamd_process import need_clamd, short_folder
from tests.updater.site import Site, served

RELEASES = {1: "lmd/201205035915", 2: "lmd/2013090421650"}
NEW_IN_2013 = "{HEX}php.pktflood.nobud.514"  # its number named another signature in 2012


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("lmd")) as serving:
        yield serving


@pytest.fixture
def host(site: Site) -> Iterator[Command]:
    need_clamd()
    with short_folder() as folder:
        host = Command(folder, site)
        host.write_settings(site.url, engine={"channels": ["lmd"]})
        try:
            yield host
        finally:
            host.clamd.stop()


def release(site: Site, sequence: int) -> None:
    folder = real_data(RELEASES[sequence])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    site.repository.release("lmd", files, sequence=sequence)


def sample_of(signature: str, database: Path) -> bytes:
    """Make the bytes an .ndb signature without wildcards looks for."""
    for line in database.read_text("ascii").splitlines():
        name, target, offset, pattern = line.split(":")[:4]
        if name == signature:
            assert (target, offset) == ("0", "*")
            return bytes.fromhex(pattern)
    raise AssertionError(signature)


def known(host: Command) -> int:
    """Count the signatures of what is in force, the marker's left out."""
    current = host.state / "engines/clamd/current"
    return sum(
        len(path.read_text("ascii").split())
        for path in current.iterdir()
        if path.suffix in {".hdb", ".ndb"} and "marker" not in path.name
    )


def test_a_signature_of_lmd_2013_is_found_by_clamd_only_after_the_update(
    host: Command, site: Site
) -> None:
    sample = sample_of(NEW_IN_2013, real_data(RELEASES[2]) / "rfxn.ndb")
    release(site, 1)
    host("run", "--install-only")
    host.clamd.start()
    host("prove")
    assert not host.clamd.finds(sample)
    before = known(host)
    release(site, 2)
    told = json.loads(host("run", "--json"))["engines"][0]
    assert (told["generation"], told["proof"]) == (2, "proven")
    assert host.clamd.found(sample) == f"{NEW_IN_2013}.UNOFFICIAL"
    assert known(host) > before
    names = {path.name for path in (host.state / "engines/clamd/current").iterdir()}
    assert {"lmd--rfxn.hdb", "lmd--rfxn.ndb"} < names
    assert not {name for name in names if name.endswith((".dat", ".ver"))}
