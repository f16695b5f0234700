"""The profile `restricted` of the Pod Security Standards, held against pods as they are written.

https://kubernetes.io/docs/concepts/security/pod-security-standards: each check is one control of
the profiles Baseline and Restricted; what a container does not say, its pod may.
"""

from collections.abc import Iterator
from typing import Any

from tests.chart.chart import Document, containers

VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
SECCOMP = frozenset({"RuntimeDefault", "Localhost"})
HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
SYSCTLS = frozenset({"net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies"})


def violations(pod: Document) -> Iterator[str]:
    """Name everything that the profile does not allow."""
    spec = pod["spec"]
    yield from (name for name in HOST_NAMESPACES if spec.get(name))
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        yield from (f"volume {volume['name']}: {kind}" for kind in kinds - VOLUMES)
    yield from _shared(spec.get("securityContext", {}))
    yield from _annotations(pod["metadata"].get("annotations", {}))
    for container in containers(pod):
        for found in _container(container, spec.get("securityContext", {})):
            yield f"container {container['name']}: {found}"


def _shared(context: Document) -> Iterator[str]:
    """Judge what is said for the whole pod."""
    yield from (
        f"sysctl {one['name']}" for one in context.get("sysctls", []) if one["name"] not in SYSCTLS
    )
    yield from _selinux(context)
    if "windowsOptions" in context:
        yield "windowsOptions"


def _annotations(annotations: dict[str, str]) -> Iterator[str]:
    for name, value in annotations.items():
        if "apparmor" in name and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"annotation {name}: {value}"


def _selinux(context: Document) -> Iterator[str]:
    options = context.get("seLinuxOptions", {})
    if options.get("type", "") not in SELINUX_TYPES or options.get("user") or options.get("role"):
        yield "seLinuxOptions"


def _container(container: Document, pod: Document) -> Iterator[str]:
    own: Document = container.get("securityContext", {})
    yield from _privileges(own)
    yield from _selinux(own)
    yield from _user(own, pod)
    if _said("seccompProfile", own, pod, {}).get("type") not in SECCOMP:
        yield "seccompProfile"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "host" in container.get(probe, {}).get("httpGet", {}):
            yield f"{probe}.host"


def _privileges(own: Document) -> Iterator[str]:
    capabilities = own.get("capabilities", {})
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities.drop"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add"


def _user(own: Document, pod: Document) -> Iterator[str]:
    if _said("runAsNonRoot", own, pod, default=False) is not True:
        yield "runAsNonRoot"
    if _said("runAsUser", own, pod, default=1) == 0:
        yield "runAsUser"


def _said(key: str, own: Document, pod: Document, default: Any) -> Any:
    return own.get(key, pod.get(key, default))
