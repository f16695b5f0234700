"""Known secrets, in any spelling of an address, taken out of text before anyone can read it."""

import contextlib
import re
from collections.abc import Iterable, Iterator

from keys.credentials import Secret, redact_url
from keys.errors import Error

_URL = re.compile(r"https?://[^\s'\"<>]+")
_HIDDEN = "***"


class Redactor:
    """Takes an upstream's own secrets out of whatever is written of it.

    A secret is found raw and in every mix of percent escapes; of an address, user name, password,
    query and fragment go as well.
    """

    __slots__ = ("_pattern",)

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        texts = sorted({secret.reveal() for secret in secrets}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_spellings, texts))) if texts else None

    def text(self, text: str) -> str:
        """Return text that holds no secret."""
        return self.secrets(_URL.sub(lambda found: redact_url(found[0]), text))

    def secrets(self, text: str) -> str:
        """Return text without the known secrets, addresses otherwise as they are."""
        return self._pattern.sub(_HIDDEN, text) if self._pattern else text

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Let no error out whose text holds a secret; what caused it is left out for the same."""
        try:
            yield
        except Error as exc:
            exc.args = tuple(self.text(str(part)) for part in exc.args)
            exc.hint = self.text(exc.hint)
            raise exc from None

    def holds(self, text: str) -> bool:
        """Tell whether a known secret stands in a text."""
        return bool(self._pattern and self._pattern.search(text))


def _spellings(secret: str) -> str:
    return "".join(_spelling(character) for character in secret)


def _spelling(character: str) -> str:
    escaped = "".join(
        "%" + "".join(f"[{d}{d.lower()}]" if d.isalpha() else d for d in f"{byte:02X}")
        for byte in character.encode()
    )
    plus = "|\\+" if character == " " else ""
    quoted = "\\\\*" if character in "'\"\\" else ""
    return f"(?:{quoted}{re.escape(character)}|{escaped}{plus})"
