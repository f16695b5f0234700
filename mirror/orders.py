"""Orders on a channel's tracks: promote, hold, resume, withdraw, pin. Pointers in, pointers out."""

from collections.abc import Callable, Mapping

from keys.errors import MissingError, UsageError
from keys.model import rollout
from keys.model.release import Pointer
from mirror.rollout import STABLE

Tracks = Mapping[str, Pointer]
Releases = Mapping[int, Pointer]


def promote(sequence: int, *, force: bool) -> Callable[[Tracks, Releases], Tracks]:
    """Point stable at a release that canary hosts have tried.

    Raises on use:
        UsageError: stable is held, or the release was withdrawn, and it is not forced.
        MissingError: the release is gone.

    """

    def change(tracks: Tracks, releases: Releases) -> Tracks:
        stable = tracks.get(STABLE)
        if not force and (reason := rollout.held(stable)):
            raise UsageError(f"track stable is held: {reason}", hint="`sigmirror resume` it first")
        if not force and sequence in rollout.withdrawn(stable):
            raise UsageError(f"release {sequence} was withdrawn", hint="--force takes it back in")
        to = rollout.moved(stable, _known(releases, sequence))
        return {**tracks, STABLE: rollout.restore(to, sequence)}

    return change


def hold(reason: str) -> Callable[[Tracks, Releases], Tracks]:
    """Let every track stay where it is until it is resumed."""

    def change(tracks: Tracks, _releases: Releases) -> Tracks:
        _expect_tracks(tracks)
        return {name: rollout.hold(pointer, reason) for name, pointer in tracks.items()}

    return change


def resume(first: str) -> Callable[[Tracks, Releases], Tracks]:
    """Let every track move again, and ``first``, where releases arrive, to the newest of them."""

    def change(tracks: Tracks, releases: Releases) -> Tracks:
        if not any(rollout.held(pointer) for pointer in tracks.values()):
            raise UsageError("no track of this channel is held", hint="see `sigmirror status`")
        moving = {name: rollout.resume(pointer) for name, pointer in tracks.items()}
        newest = [n for n in releases if n not in rollout.withdrawn(moving.get(first))]
        if newest:
            to = rollout.moved(moving.get(first), releases[max(newest)])
            moving[first] = to
        return moving

    return change


def withdraw(track: str, to: int | None) -> Callable[[Tracks, Releases], Tracks]:
    """Take back what a track offers, from every track that offers it.

    ``to`` is where these tracks go; without it, the newest older release that is not withdrawn.
    Releases in between count as withdrawn, too; a track that is further ahead stays there.

    Raises on use:
        MissingError: there is no such release to go to.
        UsageError: ``to`` is not older.

    """

    def change(tracks: Tracks, releases: Releases) -> Tracks:
        _expect_tracks(tracks)
        if track not in tracks:
            raise MissingError(f"no track {track!r}", hint=f"tracks: {', '.join(sorted(tracks))}")
        bad = tracks[track].sequence
        target = _known(releases, _older(tracks, releases, bad) if to is None else to)
        if target.sequence >= bad:
            raise UsageError(f"release {target.sequence} is not older than release {bad}")
        taken = [number for number in releases if target.sequence < number <= bad]
        changed = {}
        for name, pointer in tracks.items():
            back = pointer.sequence in taken
            kept = rollout.moved(pointer, target) if back else pointer
            changed[name] = rollout.withdraw(kept, taken)
        return changed

    return change


def pin(host: str, sequence: int) -> Callable[[Tracks, Releases], Tracks]:
    """Let one host read a release whatever its track offers."""

    def change(tracks: Tracks, releases: Releases) -> Tracks:
        _expect_tracks(tracks)
        to = _known(releases, sequence)
        return {name: rollout.pin(pointer, host, to) for name, pointer in tracks.items()}

    return change


def unpin(host: str) -> Callable[[Tracks, Releases], Tracks]:
    """Let a host follow its track again."""

    def change(tracks: Tracks, _releases: Releases) -> Tracks:
        if not any(host in rollout.pins(pointer) for pointer in tracks.values()):
            raise UsageError(f"host {host}: is not pinned on this channel")
        return {name: rollout.unpin(pointer, host) for name, pointer in tracks.items()}

    return change


def first_moved(before: Tracks, after: Tracks) -> tuple[str, int]:
    """Name the first track that an order changed, for the publish log, and where it points."""
    for name, pointer in sorted(after.items()):
        if before.get(name) != pointer:
            return name, pointer.sequence
    return "", 0


def _older(tracks: Tracks, releases: Releases, bad: int) -> int:
    gone = set[int]().union(*(rollout.withdrawn(pointer) for pointer in tracks.values()))
    found = [number for number in releases if number < bad and number not in gone]
    if not found:
        raise MissingError(
            f"release {bad}: no older release is kept", hint="publish a good release instead"
        )
    return max(found)


def _known(releases: Releases, sequence: int) -> Pointer:
    if sequence not in releases:
        known = ", ".join(str(number) for number in sorted(releases)) or "none"
        raise MissingError(f"no release {sequence}", hint=f"releases kept: {known}")
    return releases[sequence]


def _expect_tracks(tracks: Tracks) -> None:
    if not tracks:
        raise MissingError("the channel has no track yet", hint="see `sigmirror status`")
