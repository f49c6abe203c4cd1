"""The event loop of `transcribe`: what Ctrl-C and SIGTERM do."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from whisperdrop_client.command import exits
from whisperdrop_client.command.display import Display
from whisperdrop_client.command.inputs import Input
from whisperdrop_client.command.outputs import Targets
from whisperdrop_client.command.pipeline import Pipeline

_SHOW_CURSOR = "\x1b[?25h"


class Stop:
    """Who asked for the end. A second Ctrl-C leaves without another word to the server."""

    def __init__(self, task: "asyncio.Task[None]") -> None:
        self._task = task
        self.status: int | None = None

    def interrupt(self) -> None:
        """SIGINT."""
        if self.status is not None:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR.encode())
            os._exit(exits.INTERRUPTED)
        self.status = exits.INTERRUPTED
        self._task.cancel()

    def terminate(self) -> None:
        """SIGTERM: leave soon; jobs and uploads stay, and the next call goes on with them."""
        if self.status is None:
            self.status = exits.TERMINATED
            self._task.cancel()


async def supervise(
    pipeline: Pipeline,
    inputs: Sequence[Input],
    targets: Sequence[Targets],
    display: Display,
    *,
    keep: bool,
) -> int:
    """Run ``pipeline``; the exit status. With ``keep`` Ctrl-C cancels nothing."""
    task = asyncio.create_task(pipeline.run(inputs, targets))
    stop = Stop(task)
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, stop.interrupt)
        loop.add_signal_handler(signal.SIGTERM, stop.terminate)
    except NotImplementedError:  # Windows: Ctrl-C cancels the runner's task, and so the await below
        pass
    try:
        await task
    except asyncio.CancelledError:
        status = stop.status or exits.INTERRUPTED
        if status == exits.INTERRUPTED and not keep and pipeline.started:
            display.say(f"cancelling {pipeline.started} jobs … (Ctrl-C again leaves at once)")
            await _cancel(pipeline, display)
        elif pipeline.started:
            display.say("the same command goes on where this one was")
        return status
    if pipeline.fatal is not None:
        return exits.status_of(pipeline.fatal)
    failed = any(result.status == "failed" for result in pipeline.results)
    return exits.SOME_FAILED if failed else exits.FINE


async def _cancel(pipeline: Pipeline, display: Display) -> None:
    begun = pipeline.started
    try:
        taken = await pipeline.cancel()
    except TimeoutError:
        taken = 0
    if taken < begun:
        display.say(
            f"{begun - taken} jobs could not be cancelled; `whisperdrop jobs list` has them"
        )
