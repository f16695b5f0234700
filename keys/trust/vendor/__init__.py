"""Vendors' own signatures and checksums: bytes in, a verdict out; no network, no clock."""
