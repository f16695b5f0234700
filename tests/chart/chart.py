"""The chart, rendered by helm's own code without a cluster."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "helm"
CASES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
NAME, NAMESPACE = "demo", "prod"
MIRROR = "demo-sigmirror"
PULLER, SCANNER = f"{MIRROR}-puller", f"{MIRROR}-scanner"
OLDEST, NEWEST = "1.27", "1.37"  # that Chart.yaml takes, and that there are schemas of
CUSTOM = "monitoring.coreos.com/v1"  # the Prometheus operator's: no cluster has it by itself

Document = dict[str, Any]


def helm() -> Any:
    """Import helm's code; skip where it is not installed."""
    return pytest.importorskip(
        "helm_python", reason="helm is not installed: uv sync --all-extras --group chart"
    )


def case(name: str) -> Document:
    """Read one of the files of values that the chart is tried with; "" for no values."""
    found: Document = yaml.safe_load((CHART / "ci" / name).read_text()) if name else {}
    return found


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Document:
    """Lay values over others, as helm does with several files."""
    found = copy.deepcopy(dict(base))
    for key, value in over.items():
        is_table = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if is_table else value
    return found


def validate(document: Document, version: str) -> None:
    """Hold a manifest against a version's schemas; a key that it does not know is refused."""
    schemas = pytest.importorskip(
        "kubernetes_validate",
        reason="kubernetes-validate is not installed: uv sync --all-extras --group chart",
    )
    if document["apiVersion"] != CUSTOM:
        schemas.validate(document, version, strict=True)


@dataclass(frozen=True)
class Rendered:
    """What a release would put into a cluster."""

    documents: tuple[Document, ...]
    notes: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Rendered":
        with helm().Chart.load(CHART) as chart:
            texts: dict[str, str] = chart.render(dict(values), name=NAME, namespace=NAMESPACE)
        manifests = [text for name, text in texts.items() if name.endswith(".yaml")]
        found = [document for text in manifests for document in yaml.safe_load_all(text)]
        notes = next(text for name, text in texts.items() if name.endswith("NOTES.txt"))
        return cls(tuple(document for document in found if document), notes)

    def kinds(self) -> dict[tuple[str, str], Document]:
        """List the documents by kind and name."""
        return {(one["kind"], one["metadata"]["name"]): one for one in self.documents}

    def one(self, kind: str, name: str) -> Document:
        return self.kinds()[kind, name]

    def pods(self) -> Iterator[tuple[str, Document]]:
        """List every pod that would run, by where it is written."""
        for (kind, name), document in self.kinds().items():
            if template := pod_of(document):
                yield f"{kind}/{name}", template


def pod_of(document: Document) -> Document | None:
    """Return the pod a manifest makes: its metadata and spec."""
    if document["kind"] == "Pod":
        return document
    spec: Document = document.get("spec", {})
    maker: Document = spec.get("jobTemplate", {}).get("spec", spec)
    return maker.get("template")


def containers(pod: Document) -> list[Document]:
    """List every container of a pod, those that run first included."""
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def container(pod: Document, name: str) -> Document:
    return next(one for one in containers(pod) if one["name"] == name)
