"""`whisperdrop transcribe`."""

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from whisperdrop_client.aio import AsyncWhisperdrop
from whisperdrop_client.command import exits
from whisperdrop_client.command.display import choose
from whisperdrop_client.command.inputs import Input, InputError, find
from whisperdrop_client.command.options import IMPATIENT, Json, Key, Url, commas, pairs
from whisperdrop_client.command.outputs import STDOUT, OutputError, Targets, plan
from whisperdrop_client.command.pipeline import Pipeline, Wish, check
from whisperdrop_client.command.result import Result
from whisperdrop_client.command.running import supervise
from whisperdrop_client.command.state import cache_folder, forget_old
from whisperdrop_client.configuration import TIMEOUT_S, Configuration
from whisperdrop_client.flows import DEFAULT_POLICY, Policy
from whisperdrop_client.models import Format

FORMATS: tuple[Format, ...] = get_args(Format)
_PATIENT = Policy(retries=8)
_SCREEN = 20
_JOB, _CUES, _FILES = "What to transcribe", "Subtitles", "Files"


def _complete_format(incomplete: str) -> list[str]:
    return [name for name in FORMATS if name.startswith(incomplete)]


@exits.answered
def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(help="Files, folders, or - for standard input", metavar="FILES..."),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            help=f"{', '.join(FORMATS)}; may repeat, or a,b  [default: txt]",
            autocompletion=_complete_format,
            rich_help_panel=_FILES,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the transcripts, - for standard output  [default: beside each file]",
            metavar="DIR",
            rich_help_panel=_FILES,
        ),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option("--recursive", "-r", help="Folders in folders too", rich_help_panel=_FILES),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Write transcripts anew; else files that have theirs are skipped",
            rich_help_panel=_FILES,
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="See `whisperdrop models`", rich_help_panel=_JOB),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language", "-l", help="Code such as en; detected when absent", rich_help_panel=_JOB
        ),
    ] = None,
    task: Annotated[
        Literal["transcribe", "translate"],
        typer.Option(help="translate writes English", rich_help_panel=_JOB),
    ] = "transcribe",
    prompt: Annotated[
        str | None, typer.Option(help="Text that precedes the audio", rich_help_panel=_JOB)
    ] = None,
    hotwords: Annotated[
        str | None, typer.Option(help="Names and terms to expect", rich_help_panel=_JOB)
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=1, rich_help_panel=_JOB)] = None,
    beam_size: Annotated[int | None, typer.Option(min=1, max=10, rich_help_panel=_JOB)] = None,
    vad: Annotated[
        bool | None,
        typer.Option("--vad/--no-vad", help="Skip what is not speech", rich_help_panel=_JOB),
    ] = None,
    words: Annotated[
        bool, typer.Option("--word-timestamps", help="Time every word", rich_help_panel=_JOB)
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Even what the server has transcribed already", rich_help_panel=_JOB
        ),
    ] = False,
    metadata: Annotated[
        list[str] | None,
        typer.Option(help="name=value to keep with each job; may repeat", rich_help_panel=_JOB),
    ] = None,
    webhook_url: Annotated[
        str | None, typer.Option(help="Told when a job ends", rich_help_panel=_JOB)
    ] = None,
    retention_days: Annotated[
        int | None,
        typer.Option(min=0, max=3650, help="Then the server deletes it", rich_help_panel=_JOB),
    ] = None,
    max_line_chars: Annotated[int | None, typer.Option(min=1, rich_help_panel=_CUES)] = None,
    max_lines: Annotated[int | None, typer.Option(min=1, rich_help_panel=_CUES)] = None,
    max_cue_seconds: Annotated[float | None, typer.Option(min=0.1, rich_help_panel=_CUES)] = None,
    min_cue_seconds: Annotated[float | None, typer.Option(min=0, rich_help_panel=_CUES)] = None,
    max_chars_per_second: Annotated[
        float | None, typer.Option(min=1, rich_help_panel=_CUES)
    ] = None,
    at_once: Annotated[
        int, typer.Option("--at-once", "-j", min=1, max=100, help="Files at the same time")
    ] = 8,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Upload, print the jobs' ids, and leave")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Ctrl-C cancels nothing; the same command goes on later"),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what failed")] = False,
    as_json: Json = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Transcribe recordings, many at once, into files beside them or in a folder.

    A file whose transcripts are there is skipped. A call that was killed goes on where it was: what
    is uploaded is not sent again, and what was transcribed before is not transcribed again.

    Exit status: 0 all fine, 1 some failed, 2 wrong usage, 3 no server or no valid key,
    130 after Ctrl-C, which cancels the jobs that this call started.
    """
    chosen = commas(formats or ["txt"])
    for name in chosen:
        if name not in FORMATS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(FORMATS)}", param_hint="-f")
    where = STDOUT if output is None and files == ["-"] and not as_json else output
    if where == STDOUT and as_json:
        raise typer.BadParameter("standard output has the JSON; name a folder", param_hint="-o")
    if where == STDOUT and len(chosen) > 1:
        raise typer.BadParameter("standard output takes one format", param_hint="-f")
    fields = {
        "model": model,
        "language": language,
        "task": task if task != "transcribe" else None,
        "prompt": prompt,
        "hotwords": hotwords,
        "temperature": temperature,
        "beam_size": beam_size,
        "vad_filter": vad,
        "word_timestamps": words or None,
        "metadata": pairs(metadata or []) or None,
        "webhook_url": webhook_url,
        "retention_days": retention_days,
    }
    cues = {
        "max_line_chars": max_line_chars,
        "max_lines": max_lines,
        "max_cue_seconds": max_cue_seconds,
        "min_cue_seconds": min_cue_seconds,
        "max_chars_per_second": max_chars_per_second,
    }
    wish = Wish(
        formats=[name for name in FORMATS if name in chosen],
        fields={name: value for name, value in fields.items() if value is not None},
        cues={name: value for name, value in cues.items() if value is not None},
        force=force,
        wait=not no_wait,
        again=again,
    )
    configuration = Configuration.of(url, api_key, TIMEOUT_S, DEFAULT_POLICY)
    with tempfile.TemporaryDirectory(prefix="whisperdrop-") as spool:
        try:
            inputs = find(files, recursive=recursive, spool=Path(spool))
            targets = plan(inputs, chosen, where)
        except (InputError, OutputError) as error:
            exits.leave(str(error), exits.USAGE)
        printer = _Printer(inputs, as_json=as_json, texts=where == STDOUT or no_wait)
        run = _run(configuration, inputs, targets, wish, printer, at_once, quiet=quiet, keep=keep)
        raise typer.Exit(asyncio.run(run))


async def _run(
    configuration: Configuration,
    inputs: Sequence[Input],
    targets: Sequence[Targets],
    wish: Wish,
    printer: "_Printer",
    at_once: int,
    *,
    quiet: bool,
    keep: bool,
) -> int:
    where, key = configuration.url, configuration.api_key
    async with AsyncWhisperdrop(where, key, policy=IMPATIENT) as once:
        await check(once)
    cache = cache_folder()
    forget_old(cache)
    began = time.monotonic()
    async with AsyncWhisperdrop(where, key, policy=_PATIENT) as client:
        with choose(len(inputs), quiet=quiet) as display:
            pipeline = Pipeline(
                client, where, cache, display, wish, at_once=at_once, on_result=printer.take
            )
            status = await supervise(pipeline, inputs, targets, display, keep=keep)
    if len(inputs) > 1 and not quiet:
        print(_summary(pipeline.results, len(inputs), time.monotonic() - began), file=sys.stderr)
    return status


def _summary(results: Sequence[Result], total: int, took_s: float) -> str:
    counts = Counter[str](result.status for result in results)
    counts["not finished"] = total - len(results)
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    lines = [f"{', '.join(parts)} in {took_s:,.1f} s"]
    if counts["skipped"]:
        lines[0] += " (skipped ones have theirs; see --force)"
    if len(results) - counts["skipped"] > _SCREEN:  # their own lines may be out of sight
        failed = [result for result in results if result.status == "failed"]
        lines += [f"failed: {result.shown}{result.describe()}" for result in failed]
    return "\n".join(lines)


class _Printer:
    """Standard output: JSON lines as they come, texts in the order of the command line."""

    def __init__(self, inputs: Sequence[Input], *, as_json: bool, texts: bool) -> None:
        self._json = as_json
        self._texts = texts
        self._order = [item.shown for item in inputs]
        self._ready: dict[str, Result] = {}

    def take(self, result: Result) -> None:
        """A recording has ended."""
        if self._json:
            print(json.dumps(result.document(), ensure_ascii=False), flush=True)
        elif self._texts:
            self._ready[result.shown] = result
            while self._order and self._order[0] in self._ready:
                for text in self._ready.pop(self._order.pop(0)).texts.values():
                    end = "" if text.endswith("\n") else "\n"
                    sys.stdout.write(text + end)
                    sys.stdout.flush()
