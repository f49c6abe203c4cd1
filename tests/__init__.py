import whisperdrop_worker  # noqa: F401 – keeps the libraries that tests import from phoning home
