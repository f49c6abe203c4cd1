"""Measurements of the running service; `make bench` runs them."""

import whisperdrop_worker  # noqa: F401 – keeps the libraries below from phoning home
