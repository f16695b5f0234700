"""What must be there before a vendor's file is believed."""

from typing import Literal

from keys.errors import SignatureError
from keys.trust.vendor.verdict import Verdict

Required = Literal["legacy", "sign", "both"]


def required(
    name: str, *, legacy: Verdict | None, sign: Verdict | None, demand: Required
) -> tuple[Verdict, ...]:
    """Return the verdicts a file has if they are those demanded; the strongest scheme first.

    None stands for a signature that was not there. One that was there and did not hold raised
    already: it is never passed off as absent.

    Raises:
        SignatureError: a demanded signature is missing.

    """
    if demand in {"sign", "both"} and sign is None:
        raise SignatureError(
            f"{name}: there is no .sign file, and this upstream must have one: it may have been "
            "stripped to fall back to the older signature",
            hint='another mirror may have it; if the vendor has none, set signatures = "legacy"',
        )
    if demand in {"legacy", "both"} and legacy is None:
        raise SignatureError(f"{name}: there is no signature of the older kind in it")
    found = tuple(verdict for verdict in (sign, legacy) if verdict is not None)
    if not found:
        raise SignatureError(f"{name}: not signed at all")
    return found
