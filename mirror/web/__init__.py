"""HTTP handlers; they never sign and never pull."""
