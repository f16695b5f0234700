"""One notice: something that wants somebody to look, as long as it lasts."""

from dataclasses import dataclass

from mirror.notify_rules import Kind


@dataclass(frozen=True, slots=True)
class Notice:
    """What is so now. ``key`` stays the same as long as it is the same matter.

    Another ``turn`` of the same matter is told at once, such as the next warn day of a licence;
    within one, it is told again after the rule's ``repeat_hours``, unless ``repeats`` is false.
    """

    kind: Kind
    key: str
    title: str
    text: str = ""
    turn: str = ""
    repeats: bool = True
