"""Known secrets, in any spelling of an address, taken out of text before anyone can read it."""

import contextlib
import re
from collections.abc import Iterable, Iterator

from keys.credentials import Secret, redact_url
from keys.errors import Error

_URL = re.compile(r"https?://[^\s'\"<>]+")
_HIDDEN = "***"
_CUT = "…"  # ends what an error quotes of a page
_LEAST = 4  # characters of a secret that say something of it
_PIECE = re.compile("%[0-9A-Fa-f]?")  # of an escape


class Redactor:
    """Takes an upstream's own secrets out of whatever is written of it.

    A secret is found raw and in every mix of percent escapes, also where a quotation ends within
    it; of an address, user name, password, query and fragment go as well.
    """

    __slots__ = ("_pattern", "_texts")

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        texts = sorted({secret.reveal() for secret in secrets}, key=len, reverse=True)
        self._texts = tuple(texts)
        self._pattern = re.compile("|".join(map(_spellings, texts))) if texts else None

    def text(self, text: str) -> str:
        """Return text that holds no secret."""
        return self.secrets(_URL.sub(lambda found: redact_url(found[0]), text))

    def secrets(self, text: str) -> str:
        """Return text without the known secrets, addresses otherwise as they are."""
        if self._pattern is None:
            return text
        *quoted, rest = self._pattern.sub(_HIDDEN, text).split(_CUT)
        return _CUT.join([*map(self._uncut, quoted), rest])

    def _uncut(self, text: str) -> str:
        """Hide the beginning of a secret that a text ends with."""
        for place in range(len(text)):
            if any(_begins(secret, text, place) for secret in self._texts):
                return text[:place] + _HIDDEN
        return text

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


def _begins(secret: str, text: str, place: int) -> bool:
    """Tell whether a text ends, from a place on, with the beginning of a secret."""
    for known, character in enumerate(secret):
        if place == len(text) or _PIECE.fullmatch(text, place):
            return known >= _LEAST
        found = re.compile(_spelling(character)).match(text, place)
        if found is None:
            return False
        place = found.end()
    return False  # a whole one is gone before


def _spelling(character: str) -> str:
    escaped = "".join(
        "%" + "".join(f"[{d}{d.lower()}]" if d.isalpha() else d for d in f"{byte:02X}")
        for byte in character.encode()
    )
    plus = "|\\+" if character == " " else ""
    quoted = "\\\\*" if character in "'\"\\" else ""
    return f"(?:{escaped}{plus}|{quoted}{re.escape(character)})"  # of a percent sign, the longer
