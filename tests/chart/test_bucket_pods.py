"""Replicas over a bucket and the puller beside them, by the chart's own command lines."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.chart import Rendered, case
from tests.chart.processes import BIN, Pod
from tests.mirror import postgres
from tests.mirror.object_stores import BUCKET, KEY, SECRET, ObjectStore
from tests.mirror.serving import wait_for

LOOPBACK = {"0.0.0.0:8480": "127.0.0.1:0", "0.0.0.0:9480": "127.0.0.1:0"}
CREDENTIALS = {
    ("object-store", "AWS_ACCESS_KEY_ID"): KEY,
    ("object-store", "AWS_SECRET_ACCESS_KEY"): SECRET,
}
FILE = "/files/inhouse/latest/a.yar"
RULES = [{"name": "rules", "configMap": {"name": "inhouse-rules"}}]
MOUNTS = [{"name": "rules", "mountPath": "/srv/rules"}]
INHOUSE = {"name": "inhouse", "kind": "drop", "channel": "inhouse", "folder": "/srv/rules"}


def found(folder: Path, store: ObjectStore) -> str:
    """Found a repository in the bucket from a machine outside, as README.md says; return where."""
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    subprocess.run(
        [
            BIN / "sigmirror", "init", "--config", folder / "sigmirror.toml",
            "--folder", folder / "site", "--store", url, "--endpoint", store.endpoint,
            "--region", "us-east-1",
        ],
        env={"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
        check=True, capture_output=True,
    )  # fmt: skip
    return url


def values(url: str, store: ObjectStore, database: str) -> dict[str, Any]:
    own = case("bucket-values.yaml")
    own["store"]["s3"] |= {"url": url, "endpoint": store.endpoint, "settings": {}}
    own["config"] = {
        "serve": {"access": "hosts"},
        "upstream": [{**INHOUSE, "quiet_seconds": 0.01}],
    }
    own["puller"] |= {"extraVolumes": RULES, "extraVolumeMounts": MOUNTS}
    own["fleet"]["postgresql"] = {"url": database, "existingSecret": ""}
    own["tls"]["trustedProxies"] = ["127.0.0.0/8"]
    return own


@contextlib.contextmanager
def serving(pod: Pod, log: Path) -> Iterator[str]:
    """Run a replica; hand out its address."""
    process = pod.start("mirror", log)
    try:
        wait_for(lambda: '"listening"' in log.read_text() or process.poll() is not None, "it")
        told = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
        yield next(line["address"] for line in told if line["event"] == "listening")
    finally:
        process.terminate()
        process.wait(timeout=60)


def status(address: str, path: str, credential: str = "") -> int:
    request = urllib.request.Request(f"http://{address}{path}")
    if credential:
        request.add_header("Authorization", "Basic " + b64encode(credential.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def wait_for_file(address: str, credential: str) -> None:
    """Wait until a replica has noticed what is published, and who may fetch it."""
    wait_for(lambda: status(address, FILE, credential) == 200, FILE)


@pytest.mark.slow
def test_replicas_serve_what_the_puller_signs_and_know_each_others_hosts(
    tmp_path: Path, radosgw: ObjectStore
) -> None:
    url = found(tmp_path, radosgw)
    keys = {path.name: path.read_bytes() for path in (tmp_path / "site/keys/online").iterdir()}
    files = {
        "keys": keys,
        "passphrase": {"passphrase": (tmp_path / "passphrase").read_bytes()},
        "rules": {"a.yar": b"rule a { condition: false }\n"},
    }
    with postgres.running() as database, contextlib.ExitStack() as replicas:
        rendered = Rendered.of(values(url, radosgw, database))
        template = rendered.one("Deployment", "demo-sigmirror")["spec"]["template"]
        pods = [
            Pod(tmp_path / name, rendered, template, files, LOOPBACK, CREDENTIALS)
            for name in ("first", "second")
        ]
        first, second = (replicas.enter_context(serving(pod, pod.folder / "log")) for pod in pods)
        job = rendered.one("CronJob", "demo-sigmirror-puller")["spec"]["jobTemplate"]["spec"]
        puller = Pod(tmp_path / "puller", rendered, job["template"], files, LOOPBACK, CREDENTIALS)
        pulled = puller.run("puller")
        assert (pulled.returncode, "inhouse: published" in pulled.stdout) == (0, True), pulled

        told = pods[0].run(
            "mirror", "sigmirror", "host", "add", "web", "--pool", "--out", f"{tmp_path}/web"
        )
        assert told.returncode == 0, told.stderr
        credential = (tmp_path / "web").read_text().strip()
        for address in (first, second):
            wait_for_file(address, credential)
            assert status(address, FILE) == 401
            assert status(address, "/readyz") == 200
        assert not (pods[1].volume("state") / "keys").exists()
