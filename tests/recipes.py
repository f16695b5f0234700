"""The recipes of docs/feeds.md: what each says it was tried with, its settings, its commands."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs/feeds.md"
_HEADING = re.compile(r"^(##|###) (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """One recipe; ``blocks`` are its code blocks by language, in order (``""``: commands)."""

    title: str
    section: str
    tried: str
    blocks: tuple[tuple[str, str], ...]

    def block(self, language: str = "") -> str:
        """Return the only block of a language."""
        (found,) = (text for kind, text in self.blocks if kind == language)
        return found

    def written(self, places: dict[str, str], language: str = "toml") -> str:
        """Return that block with hosts, folders and secrets replaced."""
        text = self.block(language)
        for name, place in places.items():
            text = text.replace(name, place)
        return text


def read_recipes() -> dict[str, Recipe]:
    """Read the page."""
    text, section = PAGE.read_text(), ""
    found: dict[str, Recipe] = {}
    headings = list(_HEADING.finditer(text))
    for number, heading in enumerate(headings):
        level, title = heading.groups()
        if level == "##":
            section = title
            continue
        end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
        body = text[heading.end() : end].strip()
        tried = body.partition("\n")[0].removeprefix("tried: ")
        found[title] = Recipe(title, section, tried, tuple(_BLOCK.findall(body)))
    return found


RECIPES = read_recipes()
