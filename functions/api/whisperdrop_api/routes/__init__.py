"""One module a door."""
