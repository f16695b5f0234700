"""What mirror and updater must agree on and believe; speaks to no network."""
