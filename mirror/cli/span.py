"""A length of time on the command line."""

import re
from datetime import timedelta

import click

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Span(click.ParamType[timedelta]):
    """A length of time such as ``24h``."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read a number and a unit."""
        if isinstance(value, timedelta):
            return value
        match = _SPAN.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r}: write a number and s, m, h or d, such as 24h", param, ctx)
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
