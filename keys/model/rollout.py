"""What a pointer says beyond its release: held, pinned hosts, withdrawn releases (pure).

All of it stands in the pointer's ``rollout`` and is signed with it:
``hold`` is the reason why the track does not move by itself, ``pin/<host>`` the release one host is
to read instead (``<sequence>:<manifest sha256>``), ``withdrawn`` the sequences nobody is to be
moved to again, with blanks between.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from keys.errors import LimitError, TrustError
from keys.model.release import Pointer

MAX_PINS = 100
MAX_WITHDRAWN = 100
MAX_REASON_CHARACTERS = 500

_HOLD = "hold"
_WITHDRAWN = "withdrawn"
_PIN = "pin/"
_PLACE = re.compile(r"([1-9][0-9]{0,15}):([0-9a-f]{64})")


def moved(pointer: Pointer | None, to: Pointer) -> Pointer:
    """Point at another release; what else was said stays."""
    return _with(to, pointer.rollout if pointer else {})


def held(pointer: Pointer | None) -> str:
    """Return why a track does not move by itself, empty where it does."""
    return pointer.rollout.get(_HOLD, "") if pointer else ""


def hold(pointer: Pointer, reason: str) -> Pointer:
    """Let a track stay where it is."""
    return _with(pointer, {**pointer.rollout, _HOLD: reason[:MAX_REASON_CHARACTERS]})


def resume(pointer: Pointer) -> Pointer:
    """Let a track move again."""
    return _with(pointer, _without(pointer, _HOLD))


def withdrawn(pointer: Pointer | None) -> frozenset[int]:
    """Return the sequences that were withdrawn."""
    told = pointer.rollout.get(_WITHDRAWN, "") if pointer else ""
    return frozenset(int(word) for word in told.split() if word.isdecimal())


def withdraw(pointer: Pointer, sequences: Iterable[int]) -> Pointer:
    """Note that nobody is to be moved to these releases again; the oldest are forgotten."""
    newest = sorted({*withdrawn(pointer), *sequences})[-MAX_WITHDRAWN:]
    return _with(pointer, {**pointer.rollout, _WITHDRAWN: " ".join(map(str, newest))})


def restore(pointer: Pointer, sequence: int) -> Pointer:
    """Take a release back in."""
    left = withdrawn(pointer) - {sequence}
    kept = _without(pointer, _WITHDRAWN)
    return _with(pointer, kept | ({_WITHDRAWN: " ".join(map(str, sorted(left)))} if left else {}))


def pins(pointer: Pointer | None) -> dict[str, Pointer]:
    """Return the pinned hosts, each with what it is to read.

    Raises:
        TrustError: a pin is malformed.

    """
    found = {}
    for key, place in (pointer.rollout if pointer else {}).items():
        if key.startswith(_PIN):
            found[key.removeprefix(_PIN)] = _parsed(place, key)
    return found


def pin(pointer: Pointer, host: str, to: Pointer) -> Pointer:
    """Let one host read another release than the rest of its track.

    Raises:
        LimitError: more than ``MAX_PINS`` hosts would be pinned.

    """
    place = f"{to.sequence}:{to.manifest_sha256}"
    changed = _with(pointer, {**pointer.rollout, _PIN + host: place})
    if len(pins(changed)) > MAX_PINS:
        raise LimitError(f"host {host}: more than MAX_PINS={MAX_PINS} hosts pinned")
    return changed


def unpin(pointer: Pointer, host: str) -> Pointer:
    """Let a host follow its track again."""
    return _with(pointer, _without(pointer, _PIN + host))


def pinned(pointer: Pointer, host: str) -> Pointer:
    """Return what a host is to read: its own release where it is pinned, else the track's.

    Raises:
        TrustError: its pin is malformed.

    """
    place = pointer.rollout.get(_PIN + host) if host else None
    return _parsed(place, _PIN + host) if place else pointer


def _parsed(place: str, key: str) -> Pointer:
    found = _PLACE.fullmatch(place)
    if found is None:
        raise TrustError(f"rollout {key!r}: {place!r} names no release")
    return Pointer(int(found[1]), found[2])


def _without(pointer: Pointer, key: str) -> dict[str, str]:
    return {known: value for known, value in pointer.rollout.items() if known != key}


def _with(pointer: Pointer, rollout: Mapping[str, str]) -> Pointer:
    return msgspec.structs.replace(pointer, rollout=dict(rollout))
