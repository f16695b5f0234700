"""The mirror's pods, by their own command lines: founded, checked, asked by probes, pulled."""

import json
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from keys import settings as toml
from mirror import settings as mirror_settings
from tests.chart.chart import CASES, Document, Rendered, case, container
from tests.chart.processes import BIN, Pod
from tests.mirror.certificates import certificate
from tests.mirror.serving import unverified, wait_for
from updater.channels import check_names
from updater.settings import Settings as UpdaterSettings

LOOPBACK = {"0.0.0.0:8480": "127.0.0.1:0", "0.0.0.0:9480": "127.0.0.1:0"}
SECRETS = {
    "av-2026.lic": b"a vendor's own, opaque file",
    "av-2026.password": b"secret",
    "paid-token": b"secret",
    "notify-urls": b"json://127.0.0.1:9/",
}
INHOUSE = {
    "name": "inhouse",
    "kind": "drop",
    "channel": "inhouse",
    "folder": "/srv/rules",
    "quiet_seconds": 0.01,
}


@pytest.fixture(scope="module")
def founding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make keys and a repository as an operator does before the first install."""
    folder = tmp_path_factory.mktemp("founding")
    subprocess.run(
        [
            BIN / "sigmirror", "init", "--config", folder / "sigmirror.toml",
            "--folder", folder / "site",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def files(founding: Path) -> dict[str, dict[str, bytes]]:
    """Tell what the Secrets and ConfigMaps hold that README.md says to make."""
    chain, key = certificate(1)
    return {
        "founding": contents(founding / "site/r/site/metadata"),
        "keys": contents(founding / "site/keys/online"),
        "passphrase": {"passphrase": (founding / "passphrase").read_bytes()},
        "tls": {"tls.crt": chain, "tls.key": key},
        "files": SECRETS,
        "rules": {"a.yar": b"rule a { condition: false }\n"},
    }


def one_volume(**over: Any) -> dict[str, Any]:
    return {**case("one-volume-values.yaml"), **over}


def mirror_pod(folder: Path, founding: Path, values: dict[str, Any]) -> Pod:
    rendered = Rendered.of(values)
    deployment = rendered.one("Deployment", "demo-sigmirror")
    return Pod(folder, rendered, deployment["spec"]["template"], files(founding), LOOPBACK)


def test_a_founded_volume_and_its_secrets_leave_check_config_no_problem(
    tmp_path: Path, founding: Path
) -> None:
    pod = mirror_pod(tmp_path, founding, one_volume())
    assert pod.run("founding").returncode == 0
    checked = pod.run("mirror", "sigmirror", "check-config", "--json")
    found = json.loads(checked.stdout)
    assert (checked.returncode, found["problems"]) == (0, [])
    in_force = {one["key"]: one["value"] for one in found["values"]}
    assert in_force["serve.max_requests_in_flight"] == 500
    assert in_force["upstream[2].quiet_seconds"] == 2.5


def test_a_founding_never_replaces_a_repository_that_is_there(
    tmp_path: Path, founding: Path
) -> None:
    pod = mirror_pod(tmp_path, founding, one_volume())
    timestamp = pod.volume("state") / "r/site/metadata/timestamp.json"
    assert pod.run("founding").returncode == 0
    assert timestamp.read_bytes() == files(founding)["founding"]["timestamp.json"]
    timestamp.write_bytes(b"what the mirror has signed since")
    assert pod.run("founding").returncode == 0
    assert timestamp.read_bytes() == b"what the mirror has signed since"


@pytest.mark.slow
def test_the_pod_answers_its_probes_and_helms_test_over_tls(tmp_path: Path, founding: Path) -> None:
    values = one_volume(config={"serve": {"access": "hosts"}, "upstream": [INHOUSE]})
    pod, log = mirror_pod(tmp_path, founding, values), tmp_path / "log"
    assert pod.run("founding").returncode == 0
    mirror = pod.start("mirror", log)
    try:
        wait_for(lambda: '"listening"' in log.read_text(), "the listener")
        address = next(
            json.loads(line)["address"]
            for line in log.read_text().splitlines()
            if '"listening"' in line
        )
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            ask = container(pod.pod, "mirror")[probe]["httpGet"]
            url = f"{ask['scheme'].lower()}://{address}{ask['path']}"
            with urllib.request.urlopen(url, context=unverified(), timeout=60) as answer:  # noqa: S310 - loopback
                assert answer.status == 200
        assert answered(pod.rendered.one("Pod", "demo-sigmirror-test-ready"), address) == "ok"
        told = pod.run(
            "mirror", "sigmirror", "host", "add", "web", "--pool", "--out", str(tmp_path / "web")
        )
        assert told.returncode == 0, told.stderr
        wait_for(lambda: '"published"' in log.read_text(), "the drop folder's first release")
    finally:
        mirror.send_signal(signal.SIGTERM)
        assert mirror.wait(timeout=60) == 0


def answered(test: Document, address: str) -> str:
    """Run the pod of `helm test` against an address; return the status that it printed."""
    *words, url = container(test, "ready")["command"]
    here = url.replace("demo-sigmirror:8480", address)
    done = subprocess.run([*words, here], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status: str = json.loads(done.stdout.replace("'", '"'))["status"]
    return status


@pytest.mark.slow
def test_the_puller_pulls_collects_once_a_day_and_ends_as_the_pull_did(
    tmp_path: Path, founding: Path
) -> None:
    missing = {**INHOUSE, "name": "missing", "channel": "missing", "folder": "/srv/none"}
    values = one_volume(
        persistence={"accessModes": ["ReadWriteMany"]},
        config={
            "serve": {"access": "hosts"},
            "upstream": [INHOUSE, missing],
            "fleet": {"enabled": False},
        },
        puller={
            "kind": "CronJob",
            "extraVolumes": case("one-volume-values.yaml")["extraVolumes"],
            "extraVolumeMounts": case("one-volume-values.yaml")["extraVolumeMounts"],
        },
    )
    rendered = Rendered.of(values)
    job = rendered.one("CronJob", "demo-sigmirror-puller")["spec"]["jobTemplate"]["spec"][
        "template"
    ]
    pod = Pod(tmp_path, rendered, job, files(founding), LOOPBACK)
    assert pod.run("founding").returncode == 0
    first = pod.run("puller")
    assert "inhouse: published" in first.stdout
    assert (first.returncode, "/srv/none" in first.stderr) == (1, True)
    collected = pod.volume("state") / "state/collected"
    stamp = collected.stat().st_mtime_ns
    second = pod.run("puller")
    assert "inhouse: unchanged" in second.stdout
    assert collected.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("name", ["", *CASES])
def test_the_settings_of_each_set_of_values_can_be_followed(name: str, tmp_path: Path) -> None:
    for (kind, _), document in Rendered.of(case(name) if name else {}).kinds().items():
        for file, text in document["data"].items() if kind == "ConfigMap" else ():
            (tmp_path / file).write_text(text)
            if file == "sigmirror.toml":
                mirror_settings.load(tmp_path / file)
            elif file == "sigupdate.toml":
                followed = toml.load(tmp_path / file, UpdaterSettings)
                assert followed.engine[0].folder == ""
                check_names(followed)
