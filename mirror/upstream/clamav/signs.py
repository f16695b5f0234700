"""Detached signatures, ClamAV 1.5's .sign files: which must be there, and whose count."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keys.errors import FormatError
from keys.trust.vendor.anchors import Anchors
from keys.trust.vendor.clamsign import MAX_SIGN_BYTES, verify_sign
from keys.trust.vendor.policy import Required, required
from keys.trust.vendor.recognise import describe
from keys.trust.vendor.verdict import Verdict

UNPROVEN = ".sign files are passed on unproven: certificates is not set"
_MAGIC = b"#clamsign-"


@dataclass(frozen=True, slots=True)
class Signs:
    """What one upstream demands. Without ``anchors`` a .sign only has to look like one."""

    demand: Required
    anchors: Anchors | None
    at: datetime

    @property
    def demanded(self) -> bool:
        """Tell whether a file without a .sign is refused."""
        return self.demand != "legacy"

    def check(self, content: Path, legacy: Verdict, sign: Path | None) -> str:
        """Check a file that passed the older scheme; return who signed its .sign, if there is one.

        Raises:
            SignatureError: a .sign is demanded and missing, or one that is there does not hold.
            FormatError, LimitError: it is no .sign file.

        """
        verdict = None if sign is None else self._verified(sign, content)
        required(content.name, legacy=legacy, sign=verdict, demand=self.demand)
        return verdict.signer if verdict else ""

    def _verified(self, sign: Path, content: Path) -> Verdict | None:
        with sign.open("rb") as file:
            data = file.read(MAX_SIGN_BYTES + 1)
        if self.anchors is None:
            if not data.startswith(_MAGIC):
                raise FormatError(f"{sign.name}: not a .sign file but {describe(data)}")
            return None
        with content.open("rb") as file:
            return verify_sign(data, file, self.anchors, sign.name, at=self.at)
