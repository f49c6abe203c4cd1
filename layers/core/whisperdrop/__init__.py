"""Whisperdrop's core: the domain, the services, and the adapters that every function shares."""

__version__ = "0.1.0"
