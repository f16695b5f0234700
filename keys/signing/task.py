"""Signing a task, by the keys of a repository's role ``policy``."""

from collections.abc import Iterable

from keys.errors import FetchError, UsageError
from keys.model.task import PREFIX, SignedTask, Task, written
from keys.signing.delegations import POLICY
from keys.signing.state import State
from keys.trust.tuf_api import Signer


def sign_task(task: Task, state: State, signers: Iterable[Signer]) -> SignedTask:
    """Sign a task with every key at hand that may.

    Raises:
        UsageError: fewer than the role's threshold.
        LimitError: the task is too large.
        FetchError: a key service did not sign.

    """
    payload = written(task)
    role = state.delegation(POLICY)
    able = {one.public_key.keyid: one for one in signers if one.public_key.keyid in role.keyids}
    if len(able) < role.threshold:
        raise UsageError(
            f"task {task.id}: {role.threshold} of the keys of the role {POLICY} are needed, "
            f"{len(able)} at hand",
            hint="the online key folder must hold the keys the repository was made with",
        )
    signatures = {}
    for keyid, signer in able.items():
        try:
            signatures[keyid] = signer.sign(PREFIX + payload.encode()).signature
        except Exception as exc:
            raise FetchError(f"the key {keyid}: {exc}") from exc
    return SignedTask(payload=payload, signatures=signatures)
