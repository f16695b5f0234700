"""Native layouts: what clients that know nothing of this mirror read, byte for byte."""
