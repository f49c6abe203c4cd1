"""What a person sees while files are transcribed, on standard error.

`Plain` writes a line for each file that has ended. `Bars` has a bar for each file that is under way
and one for all of them; it is used on a terminal only.
"""

import os
import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from whisperdrop_client.command.result import Result
from whisperdrop_client.models import Job

_NAME_WIDTH = 28


class Row(Protocol):
    """One file that is under way."""

    def hashing(self) -> None:
        """It is read for its hash."""
        ...

    def starting(self) -> None:
        """Its job is created, or found."""
        ...

    def sent(self, count: int, total: int) -> None:
        """So many of its bytes are uploaded."""
        ...

    def job(self, job: Job) -> None:
        """Its job is as this says."""
        ...

    def fetching(self) -> None:
        """Its transcript is fetched."""
        ...


class Display(Protocol):
    """What goes on."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def begin(self, shown: str) -> Row:
        """A file is begun."""
        ...

    def end(self, row: Row | None, result: Result) -> None:
        """It has ended."""
        ...

    def say(self, message: str) -> None:
        """Something that concerns all."""
        ...

    @property
    def every_s(self) -> float:
        """How often it wants to see a job."""
        ...


def choose(total: int, *, quiet: bool) -> Display:
    """Bars on a terminal that can move its cursor, else lines."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    movable = sys.stderr.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}
    return Bars(console, total) if movable and not quiet else Plain(console, total, quiet=quiet)


def _hidden(result: Result, total: int) -> bool:
    """Of many files, those that were skipped are told in one number, by the summary."""
    return result.status == "skipped" and total > 1


def _line(result: Result, *, marks: bool) -> str:
    color, mark, word = {
        "succeeded": ("green", "✓", "done"),
        "skipped": ("yellow", "•", "skipped"),
        "failed": ("red", "✗", "failed"),
        "interrupted": ("yellow", "✗", "interrupted"),
    }[result.status]
    start = f"[{color}]{mark if marks else word + ':'}[/]"
    return f"{start} {escape(result.shown)}{escape(result.describe())}"


class _Silent:
    def hashing(self) -> None:
        pass

    def starting(self) -> None:
        pass

    def sent(self, count: int, total: int) -> None:
        pass

    def job(self, job: Job) -> None:
        pass

    def fetching(self) -> None:
        pass


class Plain:
    """A line for each file that has ended; with ``quiet`` only for one that failed."""

    every_s = 25.0

    def __init__(self, console: Console, total: int, *, quiet: bool) -> None:
        self._console = console
        self._total = total
        self._quiet = quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def begin(self, shown: str) -> Row:  # noqa: ARG002 - as the protocol says
        return _Silent()

    def end(self, row: Row | None, result: Result) -> None:  # noqa: ARG002 - as the protocol says
        if result.status == "failed" or not (self._quiet or _hidden(result, self._total)):
            self._console.print(_line(result, marks=False))

    def say(self, message: str) -> None:
        if not self._quiet:
            self._console.print(escape(message))


class _Bar:
    """A bar that is filled twice: by the upload, then by the transcription."""

    def __init__(self, bars: Progress, shown: str) -> None:
        self._bars = bars
        self._began = time.monotonic()
        self._first: int | None = None
        self.task: TaskID = bars.add_task(_short(shown), total=None, stage="waiting", note="")

    def _show(self, stage: str, share: float | None, note: str) -> None:
        total = None if share is None else 1.0
        self._bars.update(self.task, total=total, completed=share or 0.0, stage=stage, note=note)

    def hashing(self) -> None:
        self._show("reading", None, "")

    def starting(self) -> None:
        self._show("starting", None, "")

    def sent(self, count: int, total: int) -> None:
        if self._first is None:
            self._first, self._began = count, time.monotonic()
        took = time.monotonic() - self._began
        speed = (count - self._first) / took / 1e6 if took > 0.5 else 0
        note = f"{decimal(count)} of {decimal(total)}"
        self._show("uploading", count / total, f"{note}, {speed:,.1f} MB/s" if speed > 0 else note)

    def job(self, job: Job) -> None:
        progress = job.progress
        if job.status != "running" or progress is None:
            self._show("queued" if job.status == "queued" else job.status, None, "")
        elif progress.percent is None:
            self._show(progress.stage, None, "")
        else:
            eta = f", {_clock(progress.eta_s)} left" if progress.eta_s else ""
            self._show(progress.stage, progress.percent / 100, f"{progress.percent:.0f}%{eta}")

    def fetching(self) -> None:
        self._show("fetching", 1.0, "")


class Bars:
    """A bar for each file under way, one for all, and a line above them for each that has ended."""

    every_s = 1.0

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._count = total
        self._files = Progress(
            TextColumn("  {task.description}", markup=False),
            TextColumn("{task.fields[stage]:<12}", style="dim", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
        )
        self._all = Progress(
            TextColumn("{task.completed:.0f} of {task.total:.0f} files", style="bold"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[failed]}", style="red"),
            TimeElapsedColumn(),
            console=console,
        )
        self._failed = 0
        self._total = self._all.add_task("", total=total, failed="")
        self._marks = (console.encoding or "").lower().startswith("utf")
        group = Group(self._files, self._all) if total > 1 else Group(self._files)
        self._live = Live(group, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def begin(self, shown: str) -> Row:
        return _Bar(self._files, shown)

    def end(self, row: Row | None, result: Result) -> None:
        if isinstance(row, _Bar):
            self._files.remove_task(row.task)
        if not _hidden(result, self._count):
            self._console.print(_line(result, marks=self._marks))
        self._failed += result.status == "failed"
        self._all.update(
            self._total,
            advance=1,
            failed=f"{self._failed} failed" if self._failed else "",
        )

    def say(self, message: str) -> None:
        self._console.print(escape(message))


def _short(shown: str) -> str:
    """The end of a long name tells more than its beginning."""
    name = shown if len(shown) <= _NAME_WIDTH else "…" + shown[-_NAME_WIDTH + 1 :]
    return f"{name:<{_NAME_WIDTH}}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
