"""Replicas over a bucket and the puller beside them, by the chart's own command lines."""

import contextlib
import json
import shutil
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
FILES = "/files/inhouse/latest"
RULE = b"rule a { condition: false }\n"
RULES = [{"name": "rules", "configMap": {"name": "inhouse-rules"}}]
MOUNTS = [{"name": "rules", "mountPath": "/srv/rules"}]
INHOUSE = {"name": "inhouse", "kind": "drop", "channel": "inhouse", "folder": "/srv/rules"}


class Box:
    """The mirror that ran on one machine until now, with a host and a release."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self.folder = folder
        self.url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
        self.types("init", "--folder", folder / "site", "--access", "hosts")
        self.types("host", "add", "mx1", "--out", folder / "mx1")
        (folder / "rules").mkdir()
        (folder / "rules/old.yar").write_bytes(RULE)
        self.types("publish", "inhouse", folder / "rules")
        one_box = (folder / "sigmirror.toml").read_text()
        bucket = (
            f'url = "{self.url}"\nfolder = "{folder}/bucket"\nendpoint = "{store.endpoint}"\n'
            'region = "us-east-1"\naddressing = "path"'
        )
        in_bucket = one_box.replace(f'url = "file://{folder}/site"', bucket)
        (folder / "bucket.toml").write_text(in_bucket)

    def types(self, *words: object) -> str:
        done = subprocess.run(
            [str(BIN / "sigmirror"), *map(str, words)],
            env={
                "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "SIGMIRROR_CONFIG": str(self.folder / "sigmirror.toml"),
            },
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def copies(self, *more: str) -> str:
        settings = (self.folder / "sigmirror.toml", self.folder / "bucket.toml")
        return self.types("copy", *settings, *more)

    @property
    def files(self) -> dict[str, dict[str, bytes]]:
        """What is made into Secrets, and the rules that the puller publishes."""
        keys = self.folder / "site/keys/online"
        return {
            "keys": {path.name: path.read_bytes() for path in keys.iterdir()},
            "passphrase": {"passphrase": (self.folder / "passphrase").read_bytes()},
            "rules": {"new.yar": RULE},
        }


def values(url: str, store: ObjectStore, database: str) -> dict[str, Any]:
    own = case("bucket-values.yaml")
    own["store"]["s3"] |= {"url": url, "endpoint": store.endpoint, "settings": {}}
    own["config"] = {
        "serve": {"access": "hosts"},
        "upstream": [{**INHOUSE, "quiet_seconds": 0.01}],
    }
    own["puller"] |= {"extraVolumes": RULES, "extraVolumeMounts": MOUNTS, "collectDaily": False}
    own["fleet"]["postgresql"] = {"url": database, "existingSecret": ""}
    own["tls"]["trustedProxies"] = ["127.0.0.0/8"]
    own["networkPolicy"]["extraEgress"] = [{"to": [{"ipBlock": {"cidr": "127.0.0.0/8"}}]}]
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


def wait_for_file(address: str, name: str, credential: str) -> None:
    """Wait until a replica has noticed what is published, and who may fetch it."""
    wait_for(lambda: status(address, f"{FILES}/{name}", credential) == 200, name)


@pytest.mark.slow
def test_one_box_moves_to_replicas_over_a_bucket_as_the_handbook_says(
    tmp_path: Path, radosgw: ObjectStore
) -> None:
    box = Box(tmp_path, radosgw)
    box.copies()
    with postgres.running() as database, contextlib.ExitStack() as replicas:
        rendered = Rendered.of(values(box.url, radosgw, database))
        template = rendered.one("Deployment", "demo-sigmirror")["spec"]["template"]
        pods = [
            Pod(tmp_path / name, rendered, template, box.files, LOOPBACK, CREDENTIALS)
            for name in ("first", "second")
        ]
        addresses = [replicas.enter_context(serving(pod, pod.folder / "log")) for pod in pods]
        assert [status(address, "/readyz") for address in addresses] == [200, 200]

        told = box.copies("--handover", "--reason", "to the cluster")
        assert "handed over" in told
        job = rendered.one("CronJob", "demo-sigmirror-puller")["spec"]["jobTemplate"]["spec"]
        puller = Pod(
            tmp_path / "puller", rendered, job["template"], box.files, LOOPBACK, CREDENTIALS
        )
        shutil.copytree(tmp_path / "site/state", puller.volume("state") / "state")
        pulled = puller.run("puller")
        assert (pulled.returncode, "inhouse: published" in pulled.stdout) == (0, True), pulled

        added = ("host", "add", "web", "--pool", "--out", f"{tmp_path}/web")
        assert pods[0].run("mirror", "sigmirror", *added).returncode == 0
        for address in addresses:
            for host in ("mx1", "web"):  # the box's own, and one that a replica admitted
                credential = (tmp_path / host).read_text().strip()
                wait_for_file(address, "new.yar", credential)
            assert status(address, f"{FILES}/new.yar") == 401
        assert not (pods[1].volume("state") / "keys").exists()
