"""The engines: how each is tested, reloaded and asked."""
