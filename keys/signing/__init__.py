"""Who may sign, and with what."""
