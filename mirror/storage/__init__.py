"""Where a repository's bytes lie."""
