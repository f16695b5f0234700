"""A Debian host from set-up to proof, by the service's own user under the service's limits."""

from collections.abc import Iterator

import pytest

from tests.tuf_repository import ChannelRepository
from tests.updater.debian_machine import PACKAGING, Machine, machine
from tests.updater.site import Site, served

CHANNEL = "inhouse"
LINE = "{name}:0:*:{text}\n"


@pytest.fixture
def site() -> Iterator[Site]:
    repository = ChannelRepository(CHANNEL)
    repository.release(CHANNEL, definitions("One"), sequence=1)
    with served(repository) as site:
        yield site


@pytest.fixture
def host() -> Iterator[Machine]:
    with machine() as host:
        yield host


def definitions(name: str) -> dict[str, bytes]:
    text = f"a sample that only {name} finds".encode().hex()
    return {"own.ndb": LINE.format(name=f"Own.{name}", text=text).encode()}


def settings(site: Site) -> str:
    example = (PACKAGING / "sigupdate.toml").read_text().splitlines()
    changed = ("mirrors", "credential_file", "channels", "may_suppress")
    kept = "\n".join(line for line in example if not line.startswith(changed))
    return f'mirrors = ["{site.url}"]\n{kept}\nchannels = ["{CHANNEL}"]\n'


def install_package(host: Machine, site: Site) -> None:
    users, folders = PACKAGING / "sysusers.d", PACKAGING / "tmpfiles.d"
    host.shell(
        f"systemd-sysusers {users}/sigmirror.conf; systemd-tmpfiles --create {folders}/*.conf"
    )
    host.write("/etc/sigmirror/sigupdate.toml", settings(site))
    host.write("/etc/sigmirror/site-root.json", site.repository.first_root.decode())


def found(host: Machine, text: str) -> str:
    return host.run("sh", "-c", f"printf %s '{text}' | clamdscan --no-summary --stream -").stdout


@pytest.mark.slow
def test_the_services_own_user_installs_reloads_and_proves(host: Machine, site: Site) -> None:
    install_package(host, site)
    assert host.run("sigupdate", "setup", "clamd").returncode == 0
    first = host.run("sigupdate", "run", "--install-only")
    assert first.returncode == 0, first.stderr
    with host.engine():
        proved = host.run("sigupdate", "prove")
        assert proved.returncode == 0, proved.stderr
        assert "Own.One.UNOFFICIAL FOUND" in found(host, "a sample that only One finds")

        site.repository.release(CHANNEL, definitions("Two"), sequence=2)
        second = host.as_unit("sigupdate.service")
        assert second.returncode == 0, second.stdout + second.stderr
        assert "proven" in second.stdout
        assert "Own.Two.UNOFFICIAL FOUND" in found(host, "a sample that only Two finds")
        assert "FOUND" not in found(host, "a sample that only One finds")

        checked = host.run("sigupdate", "check-host")
        assert checked.returncode == 0, checked.stdout
    listed = host.shell("stat -Lc '%U %a %h' /var/lib/clamav/sigmirror/current/*own.ndb")
    user, mode, links = listed.split()
    assert (user, mode) == ("sigupdate", "444")
    assert int(links) > 1, "the generation is a full copy: blobs lie on another mount"


def test_the_services_user_can_change_nothing_beyond_its_state(host: Machine, site: Site) -> None:
    install_package(host, site)
    assert host.run("sigupdate", "setup", "clamd").returncode == 0
    unit = "sigupdate.service"
    for path in ("/var/lib/sigupdate/x", "/var/lib/clamav/sigmirror/x"):
        assert host.as_unit(unit, f"touch {path}").returncode == 0, path
    for path in ("/etc/sigmirror/x", "/var/lib/clamav/x", "/var/lib/x", "/var/log/x", "/run/x"):
        assert host.as_unit(unit, f"touch {path}").returncode != 0, path
    assert "CapBnd:\t0000000000000000" in host.as_unit(unit, "cat /proc/self/status").stdout
