"""Options that several verbs share, and how the client is made of them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from whisperdrop_client.client import Whisperdrop
from whisperdrop_client.configuration import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE
from whisperdrop_client.flows import Policy

IMPATIENT = Policy(retries=2)
"""Somebody looks at the screen: an error after two seconds is better than one after fifteen."""

Url = Annotated[
    str | None,
    typer.Option("--url", help=f"The server; {URL_VARIABLE}, or {DEFAULT_URL}", metavar="URL"),
]
Key = Annotated[
    str | None,
    typer.Option("--api-key", help=f"The key; better in {KEY_VARIABLE}", metavar="KEY"),
]
Json = Annotated[
    bool, typer.Option("--json", help="For programs: one JSON object a line on standard output")
]


def client(url: str | None, api_key: str | None) -> Whisperdrop:
    """From options and environment."""
    return Whisperdrop(url, api_key, policy=IMPATIENT)


def pairs(given: Sequence[str]) -> dict[str, str]:
    """``name=value`` arguments. Raises BadParameter."""
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{item!r} is not name=value")
        found[name] = value
    return found


def commas(given: Sequence[str]) -> list[str]:
    """Values that came one by one or with commas between them, each once."""
    parts = [part.strip() for item in given for part in item.split(",")]
    return list(dict.fromkeys(part for part in parts if part))
