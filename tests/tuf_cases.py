"""Cases of the TUF specification as tables, for the trust client and for the command line."""

from keys.trust.tuf_api import CryptoSigner, Root
from tests.tuf_repository import SignedRepository

KEYS = [CryptoSigner.generate_ed25519() for _ in range(8)]

# Each version of the root: (its keys, its threshold, who signs it); then how far a host follows.
ROTATIONS: dict[str, tuple[list[tuple[list[int], int, list[int]]], int]] = {
    "one key for another, both signing": ([([0], 1, [0]), ([1], 1, [0, 1]), ([1], 1, [1])], 3),
    "signatures nobody asked for": (
        [([0], 1, [0, 5]), ([1], 1, [5, 1, 0, 6]), ([1], 1, [1, 6])],
        3,
    ),
    "any two of three": (
        [([0, 1, 2], 2, [0, 1]), ([0, 1, 2], 2, [1, 2]), ([0, 1, 2], 2, [0, 2])],
        3,
    ),
    "one of three replaced": ([([0, 1, 2], 2, [0, 1]), ([0, 1, 3], 2, [0, 1])], 2),
    "all replaced": ([([0, 1], 2, [0, 1]), ([2, 3], 2, [0, 1, 2, 3]), ([2, 3], 2, [2, 3])], 3),
    "threshold raised": ([([0, 1], 1, [0]), ([0, 1], 2, [0, 1])], 2),
    "threshold lowered": ([([0, 1], 2, [0, 1]), ([0, 1], 1, [0, 1]), ([0, 1], 1, [1])], 3),
    "not signed by the old key": ([([0], 1, [0]), ([1], 1, [1, 5])], 1),
    "not signed by the new key": ([([0], 1, [0]), ([1], 1, [0, 5])], 1),
    "below the old threshold": ([([0, 1], 2, [0, 1]), ([0, 1], 1, [0])], 1),
    "below the new threshold": ([([0, 1], 1, [0]), ([0, 1], 2, [1])], 1),
    "below the old threshold of other keys": ([([0, 1, 2], 2, [0, 1]), ([2, 3, 4], 2, [2, 3])], 1),
    "refused in the middle of the chain": (
        [([0], 1, [0]), ([1], 1, [0, 1]), ([2], 1, [2]), ([2], 1, [2])],
        2,
    ),
}


def publish_roots(
    server: SignedRepository, versions: list[tuple[list[int], int, list[int]]]
) -> None:
    """Replace the repository's roots by these versions."""
    server.root.version = 0
    server.files = {name: data for name, data in server.files.items() if "root" not in name}
    for keys, threshold, signing in versions:
        server.root.roles[Root.type].keyids.clear()
        server.root.roles[Root.type].threshold = threshold
        for key in keys:
            server.root.add_key(KEYS[key].public_key, Root.type)
        server.signers["root"] = [KEYS[key] for key in signing]
        server.root.version += 1
        server.resign("root")


# Threshold 2 of keys 0, 1, 2 unless said otherwise: who signs, and whether that is enough.
SIGNING: dict[str, tuple[list[int], int, list[int], bool]] = {
    "one of one": ([0], 1, [0], True),
    "with a stranger's signature beside it": ([0], 1, [5, 0], True),
    "a stranger alone": ([0], 1, [5], False),
    "two of three": ([0, 1, 2], 2, [0, 2], True),
    "one of two needed": ([0, 1, 2], 2, [1], False),
    "one and a stranger": ([0, 1, 2], 2, [1, 6], False),
    "more than needed": ([0, 1, 2], 2, [0, 1, 2], True),
    "nobody": ([0], 1, [], False),
}


def publish_signed(
    server: SignedRepository, role: str, keys: list[int], threshold: int, signing: list[int]
) -> None:
    """Give a role these keys and threshold, and publish it signed by those."""
    server.root.roles[role].keyids.clear()
    server.root.roles[role].threshold = threshold
    for key in keys:
        server.root.add_key(KEYS[key].public_key, role)
    server.signers[role] = [KEYS[key] for key in signing]
    server.publish("root", "targets", "snapshot", "timestamp")


Edge = tuple[str, str, list[str], bool]  # delegator, role, paths, terminating


def edge(delegator: str, role: str, *paths: str, end: bool = False) -> Edge:
    return delegator, role, list(paths or ("*",)), end


# The delegations; then the roles a search for the missing target "x" asks for, in order.
GRAPHS: dict[str, tuple[list[Edge], list[str]]] = {
    "one": ([edge("targets", "A")], ["A"]),
    "two beside each other": ([edge("targets", "A"), edge("targets", "B")], ["A", "B"]),
    "depth first": (
        [edge("targets", "A"), edge("targets", "B"), edge("A", "C"), edge("A", "D")],
        ["A", "C", "D", "B"],
    ),
    "three deep": (
        [edge("targets", "A"), edge("A", "B"), edge("B", "C"), edge("targets", "D")],
        ["A", "B", "C", "D"],
    ),
    "a terminating role ends the search after its own": (
        [edge("targets", "A", end=True), edge("A", "C"), edge("targets", "B")],
        ["A", "C"],
    ),
    "a terminating role below ends everything waiting": (
        [edge("targets", "A"), edge("targets", "B"), edge("A", "C", end=True), edge("A", "D")],
        ["A", "C"],
    ),
    "a terminating role for other paths ends nothing": (
        [edge("targets", "A", "*.py", end=True), edge("targets", "B")],
        ["B"],
    ),
    "paths that do not match are not followed": (
        [edge("targets", "A", "a/*"), edge("targets", "B"), edge("B", "C", "?.y")],
        ["B"],
    ),
    "a cycle": (
        [edge("targets", "A"), edge("A", "B"), edge("B", "C"), edge("C", "A")],
        ["A", "B", "C"],
    ),
    "a role that delegates to itself": ([edge("targets", "A"), edge("A", "A")], ["A"]),
    "two ways to one role": (
        [edge("targets", "A"), edge("targets", "B"), edge("A", "C"), edge("B", "C")],
        ["A", "C", "B"],
    ),
}


def publish_graph(server: SignedRepository, edges: list[Edge]) -> None:
    shared = {role: CryptoSigner.generate_ed25519() for _, role, _, _ in edges}
    for delegator, role, paths, end in edges:
        server.delegate(delegator, role, paths, terminating=end, signer=shared[role])
    for role, signer in shared.items():
        server.signers[role] = [signer]
    server.publish_all()


TREE = [
    edge("targets", "docs", "*.md", "*.txt"),
    edge("targets", "releases", "releases/*/*"),
    edge("releases", "linux", "releases/linux/*"),
    edge("releases", "bsd", "releases/bsd/*.tar"),
]

# In TREE: the role that lists a path, the path, and whether it may.
PLACES = [
    ("targets", "top", True),
    ("docs", "a.md", True),
    ("docs", "a/b.md", False),
    ("linux", "releases/linux/1.tar", True),
    ("bsd", "releases/bsd/1.tar", True),
    ("bsd", "releases/bsd/1.zip", False),
    ("bsd", "releases/sun/1.tar", False),
    ("linux", "releases/linux/deep/1.tar", False),
]
