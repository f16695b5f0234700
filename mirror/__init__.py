"""The mirror: vendors' definitions in, verified and signed, out over HTTP."""
