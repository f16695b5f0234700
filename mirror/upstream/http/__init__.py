"""Feeds on plain web servers: files and archives, any credential, any sidecar, any version."""

from mirror.upstream.http.adapter import HttpUpstream

__all__ = ["HttpUpstream"]
