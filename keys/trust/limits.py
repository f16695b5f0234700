"""What no repository can make a client exceed."""

import msgspec


class MetadataLimits(msgspec.Struct, frozen=True):
    """Bytes per role file, and how far the workflow goes in one refresh or search."""

    max_root_bytes: int = 1 << 20
    max_timestamp_bytes: int = 64 << 10
    max_snapshot_bytes: int = 4 << 20
    max_targets_bytes: int = 8 << 20
    max_root_rotations: int = 256
    max_delegations: int = 32
