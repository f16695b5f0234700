"""Notices: what an operator should know without asking, and who has been told of it."""
