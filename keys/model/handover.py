"""The seal on a repository that is signed elsewhere from now on."""

from typing import Annotated

import msgspec

from keys.model.release import Instant, ShortText, Wire

HANDOVER_FILE = "handover.json"  # beside the folders of metadata and targets
MAX_HANDOVER_BYTES = 16 << 10


class Handover(Wire, frozen=True):
    """Whom a repository was handed over to.

    ``timestamp`` is the last version signed here; 0 while the handover is not done.
    """

    at: Instant
    by: ShortText
    to: ShortText
    why: ShortText = ""
    timestamp: Annotated[int, msgspec.Meta(ge=0)] = 0
