"""The updater: installs definitions on a scanner host and proves the engine runs them."""

import keys  # noqa: F401 - first, because it loads msgspec the cheap way
