"""The `whisperdrop` command."""

from typing import Annotated

import typer

from whisperdrop_client import __version__
from whisperdrop_client.command import jobs, keys
from whisperdrop_client.command.server import models, usage
from whisperdrop_client.command.transcribe import transcribe

app = typer.Typer(
    name="whisperdrop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Transcribe recordings on a Whisperdrop server, which WHISPERDROP_URL and "
    "WHISPERDROP_API_KEY name.",
)
app.command(no_args_is_help=True)(transcribe)
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.command()(models)
app.command()(usage)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"whisperdrop {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    pass


def main() -> None:
    """The console script."""
    app()
