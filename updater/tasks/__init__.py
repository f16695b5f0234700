"""Tasks of the site: whether this host does one (``rules``), and doing it (``work``, ``kinds``)."""
