"""Which words a value may be, for messages about one that is none of them."""

import re
from collections.abc import Iterator

from msgspec import inspect

_STEP = re.compile(r"\w+")  # of a place in a file: a key, or a number in a list


def choices(kind: type, where: str) -> tuple[str, ...]:
    """List the words that may stand at a place such as ``upstream[0].kind``; none if unknown."""
    found = inspect.type_info(kind)
    for step in _STEP.findall(where):
        found = next(_below(found, step), found)
    literals = (one for one in _one_of(found) if isinstance(one, inspect.LiteralType))
    return tuple(str(word) for one in literals for word in one.values)


def _below(place: inspect.Type, step: str) -> Iterator[inspect.Type]:
    """Go down by one key, or one number in a list."""
    for one in _one_of(place):
        if isinstance(one, inspect.StructType):
            yield from (field.type for field in one.fields if field.encode_name == step)
        elif isinstance(one, inspect.VarTupleType):
            yield one.item_type
        elif isinstance(one, inspect.DictType):
            yield one.value_type


def _one_of(place: inspect.Type) -> tuple[inspect.Type, ...]:
    return place.types if isinstance(place, inspect.UnionType) else (place,)
