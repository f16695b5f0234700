"""Lines of clamd.conf and freshclam.conf: set one, take one out, carry one back. Text to text.

Everything but the line concerned stays as it is, byte for byte. Names are compared without regard
to case, as clamd does.
"""


def value(text: str, key: str) -> str | None:
    """Return what a directive is set to (the first time), or None where it is not set."""
    return next((_value(line) for line in text.splitlines() if _sets(line, key)), None)


def with_value(text: str, key: str, new: str) -> str:
    """Set a directive: its first line is replaced, further ones go, or a line is added."""
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if _sets(line, key)]
    if not places:
        return f"{_ended(text)}{key} {new}\n"
    lines[places[0]] = f"{key} {new}{_ending(lines[places[0]])}"
    return "".join(line for number, line in enumerate(lines) if number not in places[1:])


def without(text: str, key: str) -> str:
    """Take a directive out of force: each of its lines becomes a comment."""
    return "".join(
        f"# {line}" if _sets(line, key) else line for line in text.splitlines(keepends=True)
    )


def carried_back(text: str, *, written: str, original: str, keys: tuple[str, ...]) -> str:
    """Give directives their original values again where they still have the written ones.

    ``text`` was edited by somebody after ``written`` replaced ``original``: what else he changed
    stays.
    """
    for key in keys:
        if value(written, key) == value(original, key) or value(text, key) != value(written, key):
            continue
        before = value(original, key)
        text = _dropped(text, key) if before is None else with_value(text, key, before)
    return text


def _dropped(text: str, key: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not _sets(line, key))


def _sets(line: str, key: str) -> bool:
    return [word.lower() for word in line.split(maxsplit=1)[:1]] == [key.lower()]


def _value(line: str) -> str:
    return line.strip().partition(" ")[2].strip().strip('"')


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _ending(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
