"""Finding a role or a target through delegations: which role speaks for which path.

A search goes depth first in the order of the delegations (TUF specification, 5.6.7), visits no
role twice and ends after a named number of roles.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from keys.errors import DigestError, LimitError, TrustError
from keys.model.release import Pin
from keys.trust.tuf_api import LengthOrHashMismatchError, Root, TargetFile, Targets

Load = Callable[[str, Root | Targets], Targets]


@dataclass(frozen=True, slots=True)
class Branch:
    """A role on the way: its name, who delegates to it, and the delegators above."""

    role: str
    delegator: Root | Targets
    above: tuple[tuple[str, Targets], ...] = ()

    def covers(self, path: str) -> bool:
        """Tell whether every delegation on the way is for this path."""
        names = [*(role for role, _ in self.above[1:]), self.role]
        return all(
            name in (role for role, _ in _children(delegator, path))
            for name, (_, delegator) in zip(names, self.above, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Delegations:
    """A repository's roles from its root down; a search ends after ``max_delegations`` of them.

    Every method raises LimitError where a search ends so, and TrustError where a role on the way
    cannot be verified.
    """

    root: Root
    load: Load
    max_delegations: int

    def find(self, target: str) -> TargetFile | None:
        """Find a target, or None when no role that may speak for it lists it."""
        for _, loaded in self._walk(target):
            if target in loaded.targets:
                return loaded.targets[target]
        return None

    def targets_of(self, role: str, *, via: str) -> Mapping[str, TargetFile] | None:
        """List what a role may speak for, reached by the delegations for the path ``via``.

        Returns None when no delegation leads to the role.
        """
        for branch, loaded in self._walk(via):
            if branch.role == role:
                return {path: file for path, file in loaded.targets.items() if branch.covers(path)}
        return None

    def delegator_of(self, role: str, *, via: str) -> Targets | None:
        """Return the role that delegates the path ``via`` to a role, which itself is not loaded.

        Returns None when no delegation leads to the role.
        """
        for _, loaded in self._walk(via):
            if any(name == role for name, _ in _children(loaded, via)):
                return loaded
        return None

    def _walk(self, path: str) -> Iterator[tuple[Branch, Targets]]:
        waiting = [Branch(Targets.type, self.root)]
        visited: set[str] = set()
        while waiting:
            branch = waiting.pop()
            if branch.role in visited:
                continue
            if len(visited) > self.max_delegations:
                limit = f"max_delegations={self.max_delegations}"
                raise LimitError(f"{path}: not found within {limit} roles")
            visited.add(branch.role)
            loaded = self.load(branch.role, branch.delegator)
            yield branch, loaded
            above = (*branch.above, (branch.role, loaded))
            children = []
            for name, terminating in _children(loaded, path):
                children.append(Branch(name, loaded, above))
                if terminating:
                    waiting.clear()
                    break
            waiting += reversed(children)


def _children(delegator: Targets, path: str) -> Iterator[tuple[str, bool]]:
    """List the roles trusted for a path, in order, and whether the search ends there."""
    if delegator.delegations is not None:
        yield from delegator.delegations.get_roles_for_target(path)


def check(target: str, file: TargetFile, data: bytes) -> bytes:
    """Return a target's bytes if they are the listed ones by every digest that is listed.

    Raises:
        DigestError: length or a digest differs, or a digest is of an unknown kind.

    """
    try:
        file.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as exc:
        raise DigestError(f"{target}: {exc}") from exc
    return data


def pin(target: str, file: TargetFile) -> Pin:
    """Turn what a role lists into a pin.

    Raises:
        TrustError: it lists no sha256, the only digest used here.

    """
    sha256 = file.hashes.get("sha256", "")
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise TrustError(f"{target}: listed without a sha256, the only digest used here")
    return Pin(sha256, file.length)
