"""Putting the updater between Debian's packages and their engine, and taking it out again."""
