"""Hosts are admitted one by one, from a list, as a pool or by invitation; over loopback."""

import hashlib
import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from keys.invitation import MAX_ENROLMENT_BYTES
from tests.fleet import Fleet, Host, run
from tests.mirror.serving import Process, wait_for

pytestmark = pytest.mark.xdist_group("admission")  # they share a mirror


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    fleet = Fleet(folder)
    fleet.found()
    with fleet.running():
        fleet.publish("rule one")
        yield fleet


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- lists ----------------------------------------------------------------------------------------


def test_a_list_of_hosts_is_admitted_at_once(shared: Fleet, tmp_path: Path) -> None:
    names = [f"list{number:02}" for number in range(40)]
    (tmp_path / "hosts.txt").write_text("# gateways\n\n" + " # one\n".join(names) + "\n")
    told = shared.sigmirror(
        "host", "add", "--from", tmp_path / "hosts.txt", "--out", tmp_path / "c"
    )
    assert "admitted 40" in told
    paths = sorted((tmp_path / "c").iterdir())
    assert [path.name for path in paths] == [f"{name}.cred" for name in names]
    assert {mode(path) for path in paths} == {0o600}
    assert mode(tmp_path / "c") == 0o700
    credential = paths[7].read_text().strip()
    wait_for(lambda: shared.post("v1/hosts/x", credential, b"") == 403, "the door")


@pytest.mark.parametrize(
    ("text", "out", "reason"),
    [
        ("bulk1\ntaken\nbulk2\n", "c", "host taken: exists"),
        ("bulk1\nbulk1\n", "c", "host bulk1: named twice"),
        ("bulk1\n../up\n", "c", "not a host name"),
        ("bulk1\nweb~x\n", "c", "not a host name"),
        ("# nobody\n", "c", "names no host"),
        ("bulk1\n", "file", "is no folder"),
        ("bulk1\nbulk2\n", "full", "bulk2.cred: exists"),
    ],
)
def test_a_list_is_admitted_whole_or_not_at_all(
    shared: Fleet, tmp_path: Path, text: str, out: str, reason: str
) -> None:
    if "taken" not in {
        one["name"] for one in json.loads(shared.sigmirror("host", "list", "--json"))
    }:
        shared.sigmirror("host", "add", "taken")
    before = shared.sigmirror("host", "list", "--json")
    (tmp_path / "hosts.txt").write_text(text)
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/bulk2.cred").write_text("somebody's")
    words = ["host", "add", "--from", tmp_path / "hosts.txt", "--out", tmp_path / out]
    done = run("sigmirror", *words, "--config", shared.config)
    assert done.returncode in {1, 2}
    assert reason in done.stderr
    assert shared.sigmirror("host", "list", "--json") == before
    assert not (tmp_path / "c").exists() or not list((tmp_path / "c").iterdir())
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["bulk2.cred"]


def test_a_list_needs_a_folder_and_no_name(shared: Fleet, tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("bulk1\n")
    for words in (
        ("--from", tmp_path / "hosts.txt"),
        ("--from", tmp_path / "hosts.txt", "mx1"),
        (),
    ):
        shared.sigmirror("host", "add", *words, code=2)


def test_a_removed_host_is_listed_no_more(shared: Fleet) -> None:
    host = shared.host("gone")
    host.sigupdate("run")
    assert "gone" in {line["host"] for line in shared.hosts(code=None)}
    shared.sigmirror("host", "remove", "gone")
    assert "gone" not in {line["host"] for line in shared.hosts(code=None)}
    told = shared.sigmirror("history", "--at", "2999-01-01", "--host", "gone")
    assert "gone scan: generation 1" in told


# -- pools ----------------------------------------------------------------------------------------


def body(host: str, number: int = 1) -> bytes:
    told = {"host": host, "series": "aa", "number": number, "at": "2026-01-01T00:00:00Z"}
    return json.dumps(told).encode()


def test_members_of_a_pool_report_below_its_name(shared: Fleet) -> None:
    shared.sigmirror("host", "add", "web", "--pool", "--out", shared.folder / "web.cred")
    credential = (shared.folder / "web.cred").read_text().strip()
    assert "web  pool, 0 reporting" in shared.sigmirror("hosts", code=None)
    wait_for(lambda: shared.post("v1/hosts/x", credential, b"") == 403, "the door")
    for pod in ("web-7d9f-a", "web-7d9f-b"):
        host = shared.host(pod, f'[report]\nmember = "{pod}"\n')
        (host.folder / "cred").write_text(credential + "\n")
        host.sigupdate("run")
        shared.sigmirror("host", "remove", pod)  # its own name is nobody's
    lines = [line for line in shared.hosts(code=None) if line["pool"] == "web"]
    assert [line["host"] for line in lines] == ["web~web-7d9f-a", "web~web-7d9f-b"]
    assert {line["health"] for line in lines} == {"ok"}
    text = shared.sigmirror("hosts", code=None)
    assert "web  pool, 2 reporting\n  web~web-7d9f-a  scan  inhouse 1" in text
    assert "generation 1" in shared.sigmirror("host", "show", "web~web-7d9f-a")
    shared.sigmirror(
        "host", "rotate", "web", "--overlap", "0s", "--out", shared.folder / "web2.cred"
    )
    wait_for(lambda: shared.post("v1/hosts/web~x", credential, b"") == 401, "the rotation")
    shared.sigmirror("host", "remove", "web")
    assert not [line for line in shared.hosts(code=None) if line["pool"] == "web"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("web3", 403),  # a pool is no host
        ("web3~a", 200),
        ("web3~a.b_c-9", 200),
        ("web3~", 403),
        ("web3~a~b", 403),
        ("web3~-a", 403),
        ("other~a", 403),
        ("web33~a", 403),
        ("web3~" + "a" * 99, 200),
        ("web3~" + "a" * 100, 403),
    ],
)
def test_a_pools_credential_speaks_for_its_members_only(
    shared: Fleet, name: str, code: int
) -> None:
    file = shared.folder / "web3.cred"
    if not file.exists():
        shared.sigmirror("host", "add", "web3", "--pool", "--out", file)
        wait_for(
            lambda: shared.post("v1/hosts/x", file.read_text().strip(), b"") == 403, "the door"
        )
    assert shared.post(f"v1/hosts/{name}", file.read_text().strip(), body(name)) == code


def test_a_hosts_credential_speaks_for_no_member(shared: Fleet) -> None:
    shared.host("single")
    name = "single~a"
    assert shared.post(f"v1/hosts/{name}", shared.credential("single"), body(name)) == 403


def test_a_name_no_member_can_have_is_told_on_the_host(shared: Fleet) -> None:
    host = shared.host("named", '[report]\nmember = "a/b"\n')
    host.sigupdate("run")
    done = run("sigupdate", "report", "--config", host.folder / "sigupdate.toml")
    assert done.returncode == 1
    assert "report.member: 'a/b'" in done.stdout + done.stderr


# -- invitations ----------------------------------------------------------------------------------


def invite(fleet: Fleet, name: str, *words: str) -> Path:
    path = fleet.folder / f"{name}.invitation"
    fleet.sigmirror("host", "invite", name, "--out", path, *words)
    return path


def enrol(fleet: Fleet, invitation: Path, folder: Path, code: int = 0) -> str:
    done = run(
        "sigupdate", "enrol", "--mirror", fleet.url, "--token-file", invitation,
        "--config", folder / "sigupdate.toml", "--state", folder / "state",
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    secret = invitation.read_text().strip().rpartition(":")[2]
    assert secret not in done.stdout + done.stderr
    return done.stdout + done.stderr


def post(fleet: Fleet, told: object) -> tuple[int, dict[str, Any]]:
    """Send as soon as the mirror lets this address try again."""
    found = [post_once(fleet, told)]

    def is_answered() -> bool:
        found[0] = post_once(fleet, told)
        return found[0][0] != 429

    if found[0][0] == 429:
        wait_for(is_answered, "a free try")
    return found[0]


def post_once(fleet: Fleet, told: object) -> tuple[int, dict[str, Any]]:
    data = told if isinstance(told, bytes) else json.dumps(told).encode()
    request = urllib.request.Request(f"{fleet.url}/v1/enrol", data=data)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return int(answer.status), json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def enrolment(invitation: Path, secret: str = "x" * 43) -> dict[str, str]:
    _, _, name, _, token = invitation.read_text().strip().split(":")
    return {"name": name, "token": token, "sha256": hashlib.sha256(secret.encode()).hexdigest()}


def test_an_invited_host_needs_nothing_but_its_invitation(shared: Fleet, tmp_path: Path) -> None:
    invitation = invite(shared, "inv1")
    assert mode(invitation) == 0o600
    told = enrol(shared, invitation, tmp_path)
    assert "host inv1 is enrolled" in told
    assert mode(tmp_path / "host.cred") == 0o600
    assert (tmp_path / "host.cred").read_text().startswith("inv1:")
    assert not (tmp_path / "host.cred.enrolling").exists()
    config = tmp_path / "sigupdate.toml"
    config.write_text(
        config.read_text() + '[[engine]]\nname = "scan"\nkind = "command"\nchannels = ["inhouse"]\n'
        'test_command = ["true"]\nreload_command = ["true"]\nprobe_command = ["true"]\n'
    )
    done = run("sigupdate", "run", "--config", config)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in shared.hosts(code=None) if line["host"] == "inv1"]
    assert line["health"] == "ok"
    record = (shared.folder / "mirror/state/hosts.json").read_text()
    assert invitation.read_text().strip().rpartition(":")[2] not in record


def test_an_invitation_works_once(shared: Fleet, tmp_path: Path) -> None:
    invitation = invite(shared, "inv2")
    enrol(shared, invitation, tmp_path / "first")
    told = enrol(shared, invitation, tmp_path / "second", code=4)
    assert "unknown, used or ended" in told
    assert not (tmp_path / "second/host.cred").exists()
    status, answer = post(shared, enrolment(invitation))
    assert (status, "was used on" in answer["message"]) == (401, True)


def test_a_host_that_heard_no_answer_asks_again_and_a_replay_gains_nothing(
    shared: Fleet, tmp_path: Path
) -> None:
    invitation = invite(shared, "inv3")
    assert post(shared, enrolment(invitation))[0] == 200
    record = (shared.folder / "mirror/state/hosts.json").read_bytes()
    assert post(shared, enrolment(invitation))[0] == 200
    assert (shared.folder / "mirror/state/hosts.json").read_bytes() == record
    # the host's own command goes on where it was interrupted
    (tmp_path / "host.cred.enrolling").write_text(f"inv3:{'x' * 43}\n")
    enrol(shared, invitation, tmp_path)
    assert (tmp_path / "host.cred").read_text() == f"inv3:{'x' * 43}\n"


def test_an_invitation_ends(shared: Fleet, tmp_path: Path) -> None:
    invitation = invite(shared, "inv4", "--expires", "0s")
    enrol(shared, invitation, tmp_path, code=4)
    assert "ended on" in post(shared, enrolment(invitation))[1]["message"]


def test_a_wrong_invitation_is_refused_alike_for_known_and_unknown_names(
    shared: Fleet,
) -> None:
    invitation = invite(shared, "inv5")
    right = enrolment(invitation)
    wrong = [post(shared, {**right, "token": "w" * 43}), post(shared, {**right, "name": "nobody"})]
    assert [status for status, _ in wrong] == [401, 401]
    assert wrong[0] == wrong[1]
    assert post(shared, right)[0] == 200


def test_of_two_hosts_at_once_one_is_enrolled(shared: Fleet) -> None:
    invitation = invite(shared, "inv6")
    tries = [enrolment(invitation, secret * 43) for secret in "abcd"]
    with ThreadPoolExecutor() as pool:
        answers = [status for status, _ in pool.map(lambda told: post(shared, told), tries)]
    assert sorted(answers) == [200, 401, 401, 401]
    hosts = json.loads((shared.folder / "mirror/state/hosts.json").read_text())["hosts"]
    winner = tries[answers.index(200)]["sha256"]
    assert [token["sha256"] for token in hosts["inv6"]["tokens"]] == [winner]


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        ({"name": "x", "token": "t"}, 400),
        ({"name": "x", "token": "t", "sha256": "short"}, 400),
        ({"name": "x", "token": "t", "sha256": "0" * 64, "more": 1}, 400),
        (b" " * (MAX_ENROLMENT_BYTES + 1), 413),
    ],
)
def test_what_is_no_enrolment_is_refused(shared: Fleet, told: object, code: int) -> None:
    assert post(shared, told)[0] == code


def test_guessing_is_slowed_down(shared: Fleet) -> None:
    codes = [
        post_once(shared, {"name": "x", "token": "t", "sha256": "0" * 64})[0] for _ in range(30)
    ]
    assert 429 in codes
    assert set(codes) <= {401, 429}


def test_an_invitation_of_another_mirror_enrols_nobody(shared: Fleet, tmp_path: Path) -> None:
    invitation = invite(shared, "inv7")
    head, version, name, _, token = invitation.read_text().strip().split(":")
    invitation.write_text(":".join((head, version, name, "0" * 64, token)))
    told = enrol(shared, invitation, tmp_path, code=3)
    assert "do not trust this root" in told
    assert not (tmp_path / "state/trust/site/metadata/root.json").exists()


def test_an_enrolment_that_broke_off_goes_on_with_the_same_credential(
    shared: Fleet, tmp_path: Path
) -> None:
    invitation = invite(shared, "inv12")
    text = invitation.read_text()
    head, version, name, _, token = text.strip().split(":")
    invitation.write_text(":".join((head, version, name, "0" * 64, token)))
    enrol(shared, invitation, tmp_path, code=3)  # admitted, and then no root to trust
    credential = (tmp_path / "host.cred").read_text()
    invitation.write_text(text)
    enrol(shared, invitation, tmp_path)
    assert (tmp_path / "host.cred").read_text() == credential
    assert not (tmp_path / "host.cred.enrolling").exists()
    assert (tmp_path / "site-root.json").exists()
    enrol(shared, invitation, tmp_path, code=2)  # done is done


@pytest.mark.parametrize("address", ["http://mirror.example:8480", "ftp://mirror.example"])
def test_a_credential_is_never_made_over_plain_http(
    shared: Fleet, tmp_path: Path, address: str
) -> None:
    path = shared.folder / "inv8.invitation"
    if not path.exists():
        invite(shared, "inv8")
    done = run(
        "sigupdate", "enrol", "--mirror", address, "--token-file", path,
        "--config", tmp_path / "sigupdate.toml",
    )  # fmt: skip
    assert done.returncode == 2
    assert not (tmp_path / "host.cred").exists()


def test_a_host_with_a_credential_is_not_enrolled_over_it(shared: Fleet, tmp_path: Path) -> None:
    (tmp_path / "host.cred").write_text("mine:secret\n")
    told = enrol(shared, invite(shared, "inv9"), tmp_path, code=2)
    assert "this host has a credential" in told
    assert (tmp_path / "host.cred").read_text() == "mine:secret\n"


def test_what_is_no_invitation_is_refused(shared: Fleet, tmp_path: Path) -> None:
    (tmp_path / "i").write_text("hello\n")
    enrol(shared, tmp_path / "i", tmp_path, code=2)


def test_an_open_invitation_is_listed_and_can_be_taken_back(shared: Fleet) -> None:
    invitation = invite(shared, "inv10")
    assert "inv10  kind=invited" in shared.sigmirror("host", "list")
    shared.sigmirror("host", "remove", "inv10")
    assert "inv10" not in shared.sigmirror("host", "list")
    assert post(shared, enrolment(invitation))[0] == 401
    shared.sigmirror("host", "add", "inv11")
    shared.sigmirror("host", "invite", "inv11", code=2)


def test_a_vendors_mirror_enrols_no_hosts(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    text = fleet.config.read_text().replace('access = "hosts"', 'access = "licences"')
    fleet.config.write_text(text)
    invitation = invite(fleet, "mx1")
    with Process.started(fleet.config, tmp_path / "log") as process:
        fleet.url = f"http://{process.address}"
        assert post(fleet, enrolment(invitation))[0] == 404
        assert "enrols no hosts" in enrol(fleet, invitation, tmp_path / "host", code=4)


# -- licences -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_forty_hosts_download_where_the_licence_lets_ten_be_managed(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    fleet.config.write_text(
        fleet.config.read_text() + '[[licence]]\nname = "av"\nfile = "/nowhere.lic"\nseats = 3000\n'
        'starts_on = "2026-01-01"\nends_on = "2030-12-31"\n'
        '[[upstream]]\nname = "paid"\nkind = "drop"\nchannel = "inhouse"\nlicence = "av"\n'
        f'folder = "{tmp_path}"\nmarker = "never"\n'
    )
    with Process.started(fleet.config, tmp_path / "log") as process:
        fleet.url = f"http://{process.address}"
        fleet.publish("rule one")
        names = [f"mx{number:02}" for number in range(40)]
        (tmp_path / "hosts.txt").write_text("\n".join(names))
        fleet.sigmirror("host", "add", "--from", tmp_path / "hosts.txt", "--out", tmp_path / "c")

        def go(name: str) -> int:
            host = Host(fleet, name)
            host.folder.mkdir()
            (host.folder / "cred").write_text((tmp_path / "c" / f"{name}.cred").read_text())
            host.write()
            words = ["run", "--config", host.folder / "sigupdate.toml"]
            return run("sigupdate", *words).returncode

        last = (tmp_path / "c/mx39.cred").read_text().strip()
        wait_for(lambda: fleet.post("v1/hosts/x", last, b"") == 403, "the door")
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(go, names)) == {0}
        assert {line["loads"][0]["sequence"] for line in fleet.hosts()} == {1}
        assert len(fleet.hosts()) == 40
        told = fleet.sigmirror("status")
        assert "managed hosts 40/10 (over_hosts)" in told
        assert "problem: licence av: over_hosts 40/10; downloads go on" in told
