"""The main job, end to end, with the installed commands on loopback."""
