"""Zstandard: of the standard library from Python 3.14 on, of its backport before."""

import sys

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
