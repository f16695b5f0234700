"""May an AppArmor profile's program read a path? Enough of apparmor.d(5) to answer that."""

import contextlib
import re
from dataclasses import dataclass

_RULE = re.compile(
    r"""^\s*(?P<words>(?:(?:audit|deny|allow|owner)\s+)*)
        (?:(?P<path>"/[^"]*"|/\S*)\s+(?P<after>[rwamklixupcPCU]+)
          |(?P<before>[rwamklixupcPCU]+)\s+(?P<late>"/[^"]*"|/\S*))\s*,""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One file rule that speaks of reading."""

    expression: re.Pattern[str]
    denies: bool


def read_rules(profile: str) -> tuple[Rule, ...]:
    """List the rules of a profile's text that allow or deny reading.

    Rules for the owner only and paths with variables are left out: they do not speak of databases.
    """
    found = []
    for line in profile.splitlines():
        rule = _RULE.match(line)
        if rule is None or "owner" in rule["words"]:
            continue
        permissions = rule["after"] or rule["before"]
        pattern = (rule["path"] or rule["late"]).strip('"')
        if "r" in permissions and "@{" not in pattern:
            with contextlib.suppress(re.error):  # the kernel's own loader refuses such a profile
                found.append(Rule(_expression(pattern), "deny" in rule["words"]))
    return tuple(found)


def may_read(rules: tuple[Rule, ...], path: str) -> bool:
    """Tell whether reading is allowed; a deny rule beats every other."""
    matching = [rule for rule in rules if rule.expression.fullmatch(path)]
    return bool(matching) and not any(rule.denies for rule in matching)


_GLOB = re.compile(r"\*\*|\*|\?|\[[^\]]*\]|\\.|[{},]|[^*?\[\\{},]+", re.DOTALL)
_MEANING = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}


def _expression(pattern: str) -> re.Pattern[str]:
    depth, parts = 0, []
    for piece in _GLOB.findall(pattern):
        depth += (piece == "{") - (piece == "}")
        if piece == ",":
            parts.append("|" if depth else ",")
        elif piece.startswith("["):
            parts.append(_set(piece[1:-1]))
        else:
            parts.append(_MEANING.get(piece) or re.escape(piece.removeprefix("\\")))
    return re.compile("".join(parts), re.DOTALL)


def _set(members: str) -> str:
    """Write a set such as ``[a-z]`` or ``[^a]``: neither ever means a slash."""
    if not members:
        return "(?!)"  # it matches nothing; as an expression it would swallow what follows
    plain = re.sub(r"([\[\\&~|])", r"\\\1", members.removeprefix("^"))
    return f"[^/{plain}]" if members.startswith("^") else f"[{plain}]"
