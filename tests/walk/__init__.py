"""docs/thirty-days.md, acted: its commands run in order, on its days, by real processes."""
