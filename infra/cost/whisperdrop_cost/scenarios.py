"""What is compared: machines, days, hosted services."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whisperdrop_cost.figures import Figures
from whisperdrop_cost.model import (
    Cost,
    break_even_audio_h,
    gpu_always,
    gpu_at_once,
    gpu_at_random,
    lambda_day,
    lambda_speed_x,
)

MINUTES = 10.0
"""Length of a file where nothing else is said."""

GPU_INSTANCES = ("g4dn.xlarge", "g5.xlarge", "g6.xlarge")
GPU_MODEL = "large-v3-turbo"
_LAMBDA_MODELS = ("tiny.en", "base")
HOSTED = ("hosted.transcribe", "hosted.whisper-1", "hosted.deepgram", "hosted.groq")


@dataclass(frozen=True)
class Runner:
    """What transcribes; ``instance`` is None for the worker function."""

    label: str
    model: str
    speed_x: float
    instance: str | None = None
    spot: bool = False
    assumed: bool = False
    """Whether nobody has measured that speed."""


def speed_name(instance: str) -> str:
    """The figure that says how fast an instance is."""
    return f"speed.{instance.partition('.')[0]}"


def runners(figures: Figures, instances: Sequence[str] = GPU_INSTANCES) -> list[Runner]:
    """The worker function with two models, then each of the instances, on demand and Spot."""
    found = [
        Runner(
            f"Lambda, {model}",
            model,
            lambda_speed_x(figures, figures[f"speed.two_cores.{model}"]),
        )
        for model in _LAMBDA_MODELS
    ]
    for instance in instances:
        speed_x = figures[speed_name(instance)]
        assumed = figures.kind(speed_name(instance)) == "assumption"
        for spot in (False, True):
            label = f"{instance}, Spot" if spot else instance
            found.append(Runner(label, GPU_MODEL, speed_x, instance, spot, assumed))
    return found


Day = Callable[[Figures, Runner], Cost]


@dataclass(frozen=True)
class Scenario:
    """A kind of day."""

    title: str
    day: Day


def at_random(files: float, minutes: float) -> Day:
    """So many files a day, whenever somebody has one."""

    def day(figures: Figures, runner: Runner) -> Cost:
        if runner.instance is None:
            return lambda_day(figures, runner.speed_x, files=files, minutes=minutes)
        return gpu_at_random(
            figures,
            runner.instance,
            runner.speed_x,
            files=files,
            minutes=minutes,
            spot=runner.spot,
        )

    return day


def at_once(audio_h: float, minutes: float) -> Day:
    """All of it at a time, as a nightly batch."""
    files = audio_h * 60 / minutes

    def day(figures: Figures, runner: Runner) -> Cost:
        if runner.instance is None:
            return lambda_day(figures, runner.speed_x, files=files, minutes=minutes, cold=0.1)
        return gpu_at_once(
            figures,
            runner.instance,
            runner.speed_x,
            files=files,
            minutes=minutes,
            within_h=figures["batch.hours"],
            spot=runner.spot,
        )

    return day


def always(minutes: float) -> Day:
    """A worker that never sleeps; a function with as much audio as an A10G would have."""

    def day(figures: Figures, runner: Runner) -> Cost:
        utilisation = figures["steady.utilisation"]
        if runner.instance is None:
            audio_h = 24 * utilisation * figures["speed.g5"]
            files = audio_h * 60 / minutes
            return lambda_day(figures, runner.speed_x, files=files, minutes=minutes, cold=0.0)
        return gpu_always(
            figures,
            runner.instance,
            runner.speed_x,
            utilisation=utilisation,
            minutes=minutes,
            spot=runner.spot,
        )

    return day


def scenarios(files: float | None = None, minutes: float = MINUTES) -> list[Scenario]:
    """The days that are compared; ``files`` a day adds one of yours."""
    length = f"{minutes:g} minutes"
    found = [
        Scenario(f"One file of {length} a day", at_random(1, minutes)),
        Scenario(f"100 files of {length} a day, at random", at_random(100, minutes)),
        Scenario(f"1,000 h a day in one batch, files of {length}", at_once(1000, minutes)),
        Scenario("A worker that never sleeps, 60 % busy", always(minutes)),
    ]
    if files is not None:
        yours = Scenario(
            f"Yours: {files:g} files of {length} a day, at random", at_random(files, minutes)
        )
        found.insert(0, yours)
    return found


def break_evens(
    figures: Figures, runner: Runner, minutes: float = MINUTES
) -> dict[str, float | None]:
    """Hours of audio a day, all at once, from which ``runner`` beats each hosted service."""
    if runner.instance is None:
        raise ValueError(
            "the worker function has no wake-ups to spread: it is cheaper or it is not"
        )
    return {
        name: break_even_audio_h(
            figures,
            runner.instance,
            runner.speed_x,
            figures[name],
            minutes=minutes,
            spot=runner.spot,
        )
        for name in HOSTED
    }
