"""`whisperdrop models` and `whisperdrop usage`."""

from typing import Annotated

import typer

from whisperdrop_client.command import exits, tables
from whisperdrop_client.command.options import Json, Key, Url, client


@exits.answered
def models(as_json: Json = False, url: Url = None, api_key: Key = None) -> None:
    """The models that the key may use; the first is the default."""
    with client(url, api_key) as whisperdrop:
        found = whisperdrop.models()
    if as_json:
        tables.show_json({"id": model.id, "owned_by": model.owned_by} for model in found)
    else:
        for model in found:
            print(model.id)


@exits.answered
def usage(
    month: Annotated[
        str | None, typer.Argument(help="yyyy-mm; this one when absent", metavar="[MONTH]")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """What was transcribed in a month."""
    with client(url, api_key) as whisperdrop:
        used = whisperdrop.usage(month)
    if as_json:
        tables.show_json([{"month": used.month, "jobs": used.jobs, "audio_s": used.audio_s}])
    else:
        print(f"{used.month}\t{used.jobs} jobs\t{used.audio_s / 3600:,.2f} h of audio")
