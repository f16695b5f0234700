"""ClamAV's own databases: brought by one of three drivers, believed by their signatures only."""

from mirror.upstream.clamav.opening import assembled, completed, missing, open_clamav, problems

__all__ = ["assembled", "completed", "missing", "open_clamav", "problems"]
