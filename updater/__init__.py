"""The updater: installs definitions on a scanner host and proves the engine runs them."""
