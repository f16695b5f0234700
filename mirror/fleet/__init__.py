"""Who may fetch: the site's hosts and a vendor's customers."""
