"""Values that cannot work are refused with a reason; those that do are rendered."""

from typing import Any

import pytest

from tests.chart.chart import NEWEST, Rendered, case, helm, merged, validate

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "replicas that each pull": (
        "", {"replicas": 2}, "set puller.kind=CronJob or Deployment",
    ),
    "an autoscaler of pods that each pull": (
        "", {"autoscaling": {"enabled": True}}, "each would pull and sign",
    ),
    "replicas on a volume of one node": (
        "", {"replicas": 2, "puller": {"kind": "CronJob"}}, "several replicas read one volume",
    ),
    "a puller beside a volume of one node": (
        "", {"puller": {"kind": "Deployment"}}, "a puller of its own writes where the mirror reads",
    ),
    "replicas with a database each": (
        "bucket-values.yaml", {"fleet": {"postgresql": {"url": ""}}}, "one PostgreSQL",
    ),
    "a pod that serves and one that pulls, with a database each": (
        "bucket-values.yaml",
        {
            "fleet": {"postgresql": {"url": ""}},
            "replicas": 1,
            "autoscaling": {"enabled": False},
        },
        "one PostgreSQL",
    ),
    "an autoscaler without a measure": (
        "bucket-values.yaml", {"resources": {"requests": None}}, "resources.requests.cpu",
    ),
    "a claim for one pod and two that want it": (
        "bucket-values.yaml",
        {"persistence": {"accessModes": ["ReadWriteOncePod"]}},
        "a claim of ReadWriteOncePod",
    ),
    "a bucket behind a closed port": (
        "bucket-values.yaml",
        {"store": {"s3": {"endpoint": "https://s3.example:7480"}}},
        "networkPolicy.store: no rule lets port 7480 of store.s3.endpoint through",
    ),
    "a database behind a closed port": (
        "bucket-values.yaml",
        {"fleet": {"postgresql": {"url": "postgresql://fleet@db.example:6432/sigmirror"}}},
        "networkPolicy.database: no rule lets port 6432",
    ),
    "a vendor behind a closed port": (
        "",
        {"config": {"upstream": [{"name": "av", "kind": "tuf", "url": "https://v.example:8480/r/site"}]}},
        "networkPolicy.vendors: no rule lets port 8480 of config.upstream av through",
    ),
    "scanners around the proxy": (
        "bucket-values.yaml", {"scanner": {"enabled": True}}, "scanner.mirrors: empty",
    ),
    "scanners of no mirror": (
        "scanner-values.yaml", {"mirror": {"enabled": False}}, "this release has no mirror",
    ),
    "nothing at all": ("", {"mirror": {"enabled": False}}, "nothing is left to install"),
    "a certificate nobody has": (
        "",
        {
            "config": {"serve": {"access": "open"}},
            "tls": {"existingSecret": ""},
            "scanner": {"enabled": True},
        },
        "scanner.ca.existingSecret",
    ),
    "a bucket without a name": (
        "bucket-values.yaml", {"store": {"s3": {"url": ""}}}, "such as s3://definitions/mirror",
    ),
    "a mirror that pulls, and must not": (
        "", {"puller": {"suspend": True}}, "puller.suspend",
    ),
    "a founding beside a bucket": (
        "bucket-values.yaml", {"founding": {"existingConfigMap": "x"}}, "founding",
    ),
    "credentials in the clear": (
        "", {"tls": {"existingSecret": ""}}, "would travel in the clear",
    ),
    "a proxy nobody trusts": (
        "", {"tls": {"existingSecret": "", "terminatedByProxy": True}}, "trustedProxies",
    ),
    "tls twice": (
        "",
        {"tls": {"terminatedByProxy": True, "trustedProxies": ["10.0.0.0/8"]}},
        "does TLS itself",
    ),
    "pulls too seldom to sign in time": (
        "bucket-values.yaml",
        {"puller": {"everyMinutes": 720}, "config": {"expiry": {"timestamp_seconds": 86400}}},
        "more than a quarter of the shortest role expiry",
    ),
    "a canary that nobody promotes": (
        "bucket-values.yaml", {"config": {"canary": ["inhouse"]}}, "stable follows canary",
    ),
    "a wait beyond the deadline": (
        "bucket-values.yaml", {"puller": {"waitSeconds": 9000}}, "puller.activeDeadlineSeconds",
    ),
    "a store in the settings": (
        "", {"config": {"store": {"url": "file:///x"}}}, "config.store: the chart writes it",
    ),
    "a listener in the settings": (
        "", {"config": {"serve": {"listen": "0.0.0.0:1"}}}, "config.serve.listen",
    ),
    "a database in the settings": (
        "", {"config": {"fleet": {"database": "sqlite:///x"}}}, "config.fleet.database",
    ),
    "an autoscaler upside down": (
        "bucket-values.yaml",
        {"autoscaling": {"minReplicas": 9}},
        "less than autoscaling.minReplicas",
    ),
    "a scanner without channels": (
        "scanner-values.yaml", {"scanner": {"channels": []}}, "scanner.channels: empty",
    ),
    "a shared volume that is not there": (
        "scanner-shared-values.yaml",
        {"scanner": {"shared": {"existingClaim": ""}}},
        "existingClaim",
    ),
    "another folder for clamd": (
        "scanner-values.yaml",
        {"scanner": {"clamd": {"config": {"DatabaseDirectory": "/x"}}}},
        "scanner.clamd.config.DatabaseDirectory",
    ),
    "other mirrors in the settings": (
        "scanner-values.yaml",
        {"scanner": {"config": {"mirrors": ["http://x"]}}},
        "scanner.config.mirrors",
    ),
    "a misspelt value": ("", {"replica": 2}, "replica"),
    "a misspelt value further in": ("", {"tls": {"existingsecret": "x"}}, "existingsecret"),
    "root": ("", {"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    "a token for the cluster": (
        "", {"serviceAccount": {"automountServiceAccountToken": True}}, "automount",
    ),
    "a bucket of another name": ("bucket-values.yaml", {"store": {"s3": {"url": "gs://x"}}}, "url"),
    "an interval of its own": (
        "bucket-values.yaml", {"puller": {"everyMinutes": 7}}, "everyMinutes",
    ),
    "an unknown store": ("", {"store": {"type": "nfs"}}, "type"),
    "a password in an address": (
        "bucket-values.yaml", {"fleet": {"postgresql": {"url": "postgresql://u:p@h/n"}}}, "url",
    ),
    "a digest that is none": ("", {"image": {"digest": "latest"}}, "digest"),
    "a file that climbs": (
        "", {"secretFiles": {"../x": {"existingSecret": "a", "key": "b"}}}, "invalid propertyName",
    ),
    "an ingress for nobody": ("", {"ingress": {"enabled": True}}, "hosts"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_a_reason(name: str) -> None:
    base, over, reason = REFUSED[name]
    with pytest.raises(helm().HelmError) as refused:
        Rendered.of(merged(case(base), over))
    assert reason in str(refused.value)


ALLOWED: dict[str, tuple[str, dict[str, Any]]] = {
    "replicas that take no reports": (
        "bucket-values.yaml",
        {"fleet": {"postgresql": {"url": ""}}, "config": {"fleet": {"enabled": False}}},
    ),
    "a canary that an operator promotes": (
        "bucket-values.yaml",
        {"config": {"canary": ["inhouse"], "rollout": {"automatic": False}}},
    ),
    "a canary beside a puller that always runs": (
        "bucket-values.yaml",
        {"config": {"canary": ["inhouse"]}, "puller": {"kind": "Deployment"}},
    ),
    "an open mirror without TLS": (
        "",
        {"config": {"serve": {"access": "open"}}, "tls": {"existingSecret": ""}},
    ),
    "ports in a range, and a rule for every port": (
        "bucket-values.yaml",
        {
            "store": {"s3": {"endpoint": "https://s3.example:7480"}},
            "networkPolicy": {
                "store": [{"ports": [{"port": 7000, "endPort": 8000}]}],
                "database": [],
                "extraEgress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
            },
        },
    ),
    "vendors behind a proxy": (
        "",
        {
            "config": {
                "upstream": [{"name": "av", "kind": "tuf", "url": "https://v.example:8480/r"}]
            },
            "extraEnvVars": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        },
    ),
    "one pod over a bucket": (
        "bucket-values.yaml",
        {"replicas": 1, "autoscaling": {"enabled": False}, "puller": {"kind": "InProcess"}},
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_works_is_rendered_and_valid(name: str) -> None:
    base, over = ALLOWED[name]
    for document in Rendered.of(merged(case(base), over)).documents:
        validate(document, NEWEST)
