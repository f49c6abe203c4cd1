"""`whisperdrop keys …`; all of it needs a key with the scope `admin`."""

from typing import Annotated

import typer

from whisperdrop_client.command import exits, tables
from whisperdrop_client.command.options import Json, Key, Url, client, commas

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys (scope admin).")

_LEAST_DIGITS = 6


@app.command()
@exits.answered
def create(
    name: Annotated[str, typer.Argument(help="What the key is for")],
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", "-s", help="read, write, admin; may repeat  [default: read,write]"),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Only these; may repeat, or a,b")
    ] = None,
    max_upload_bytes: Annotated[int | None, typer.Option(min=1, help="Largest upload")] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Whose key; only the operator's key may name another")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Make a key. It is printed once, on standard output, and stored nowhere."""
    with client(url, api_key) as whisperdrop:
        created = whisperdrop.keys.create(
            name,
            scopes=commas(scopes) if scopes else None,
            models=commas(models) if models else None,
            max_upload_bytes=max_upload_bytes,
            tenant=tenant,
        )
    if as_json:
        tables.show_json([created.raw])
    else:
        print(created.key)


@app.command("list")
@exits.answered
def list_(as_json: Json = False, url: Url = None, api_key: Key = None) -> None:
    """The keys, those that were revoked too."""
    with client(url, api_key) as whisperdrop:
        found = whisperdrop.keys.list()
    if as_json:
        tables.show_json(key.raw for key in found)
        return
    tables.show(
        ("digest", "tenant", "state", "scopes", "created", "name"),
        (
            (
                tables.shortened(key.digest),
                key.tenant,
                "revoked" if key.revoked_at else "active",
                ",".join(key.scopes),
                tables.moment(key.created_at),
                key.name,
            )
            for key in found
        ),
    )


@app.command()
@exits.answered
def revoke(
    digest: Annotated[str, typer.Argument(help="As `keys list` shows it, or its beginning")],
    as_json: Json = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Refuse a key from now on."""
    with client(url, api_key) as whisperdrop:
        found = [key.digest for key in whisperdrop.keys.list() if key.digest.startswith(digest)]
        if len(digest) < _LEAST_DIGITS or len(found) != 1:
            exits.leave(
                f"{digest!r} begins the digests of {len(found)} keys; give more of one"
                if found
                else f"there is no key whose digest begins with {digest!r}",
                exits.SOME_FAILED,
            )
        whisperdrop.keys.revoke(found[0])
    if as_json:
        tables.show_json([{"digest": found[0], "status": "revoked"}])
    else:
        print(f"{found[0]}\trevoked")
