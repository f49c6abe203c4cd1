"""`whisperdrop jobs …`."""

from typing import Annotated, Literal

import typer

from whisperdrop_client.command import exits, tables
from whisperdrop_client.command.options import Json, Key, Url, client, commas
from whisperdrop_client.errors import WhisperdropError
from whisperdrop_client.models import Format, Job

app = typer.Typer(no_args_is_help=True, help="List, show, cancel and delete jobs.")

Ids = Annotated[list[str], typer.Argument(help="Ids of jobs", metavar="ID...")]
Id = Annotated[str, typer.Argument(help="Id of a job", metavar="ID")]


@app.command("list")
@exits.answered
def list_(
    status: Annotated[
        list[str] | None, typer.Option("--status", "-s", help="Only these; may repeat, or a,b")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="Part of the file's name")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most; 0 is all")] = 20,
    as_json: Json = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """The newest jobs."""
    with client(url, api_key) as whisperdrop:
        found = whisperdrop.jobs.list(
            status=commas(status or []), q=query, limit=limit or None, page_size=100
        )
        if as_json:
            tables.show_json(job.raw for job in found)
            return
        rows = (
            (j.job_id, _state(j), tables.moment(j.created_at), j.model, j.name or "") for j in found
        )
        tables.show(("id", "status", "created", "model", "file"), rows)


@app.command()
@exits.answered
def show(job_id: Id, as_json: Json = False, url: Url = None, api_key: Key = None) -> None:
    """One job."""
    with client(url, api_key) as whisperdrop:
        job = whisperdrop.jobs.get(job_id)
    if as_json:
        tables.show_json([job.raw])
        return
    error = f"{job.error.message} ({job.error.code})" if job.error else None
    usage = f"{job.usage.audio_s:,.1f} s of audio" if job.usage else None
    tables.details(
        [
            ("id", job.job_id),
            ("status", _state(job)),
            ("file", job.name),
            ("model", job.model),
            ("created", tables.moment(job.created_at)),
            ("started", tables.moment(job.started_at) or None),
            ("finished", tables.moment(job.finished_at) or None),
            ("usage", usage),
            ("error", error),
            *((f"  {name}", value) for name, value in job.metadata.items()),
        ]
    )


@app.command()
@exits.answered
def transcript(
    job_id: Id,
    name: Annotated[Format, typer.Option("--format", "-f")] = "txt",
    url: Url = None,
    api_key: Key = None,
) -> None:
    """The transcript of a job, on standard output."""
    with client(url, api_key) as whisperdrop:
        text = whisperdrop.jobs.render(job_id, name)
    print(text, end="" if text.endswith("\n") else "\n")


@app.command()
@exits.answered
def cancel(ids: Ids, as_json: Json = False, url: Url = None, api_key: Key = None) -> None:
    """Cancel jobs; those that have ended stay as they are."""
    _each("cancel", ids, as_json=as_json, url=url, api_key=api_key)


@app.command()
@exits.answered
def delete(ids: Ids, as_json: Json = False, url: Url = None, api_key: Key = None) -> None:
    """Delete jobs with their media and transcripts; what runs is cancelled first."""
    _each("delete", ids, as_json=as_json, url=url, api_key=api_key)


def _each(
    verb: Literal["cancel", "delete"],
    ids: list[str],
    *,
    as_json: bool,
    url: str | None,
    api_key: str | None,
) -> None:
    """Every id gets its turn; the status tells whether all went well."""
    worst = exits.FINE
    with client(url, api_key) as whisperdrop:
        for job_id in ids:
            try:
                if verb == "cancel":
                    state = _state(whisperdrop.jobs.cancel(job_id))
                else:
                    whisperdrop.jobs.delete(job_id)
                    state = "deleted"
            except WhisperdropError as error:
                if exits.status_of(error) == exits.NO_SERVER:
                    raise
                exits.complain(f"{job_id}: {exits.explain(error)}")
                worst = exits.SOME_FAILED
            else:
                if as_json:
                    tables.show_json([{"job_id": job_id, "status": state}])
                else:
                    print(f"{job_id}\t{state}")
    raise typer.Exit(worst)


def _state(job: Job) -> str:
    if job.cancel_requested:
        return "cancelling"
    if job.progress and job.progress.percent is not None and not job.ended:
        return f"{job.status} {job.progress.percent:.0f}%"
    return job.status
