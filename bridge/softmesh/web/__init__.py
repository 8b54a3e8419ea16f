"""The read-only web side: the page, what it shows as JSON, events, metrics and health."""
