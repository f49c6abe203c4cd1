"""The model: plain functions from figures to dollars. Units stand in the names.

Seconds of audio and seconds of a machine are told apart: ``audio_s``, ``machine_s``. Everything is
per day where nothing else is said; a month has 30 days.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

HOUR_S = 3600.0
DAY_S = 86_400.0
MONTH_DAYS = 30.0
_HOURS_OF_A_MONTH = 730.0  # as AWS bills volumes
_MB_OF_A_GB = 1000.0
_LAMBDA_MB_OF_A_GB = 1024.0
_MINIMUM_S = 60.0  # EC2 bills an instance for at least this
_NEVER = 50.0  # files within the idle time: the chance that none comes is e to the minus that

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Cost:
    """Dollars for so much audio."""

    audio_h: float
    working_usd: float
    """Machines that transcribe."""
    waiting_usd: float
    """Machines that start, or have nothing to do."""
    requests_usd: float
    """Storage, queues, functions and logs of the jobs."""
    idle_usd: float
    """What a stack costs that nobody uses."""

    @property
    def usd(self) -> float:
        """All of it."""
        return self.working_usd + self.waiting_usd + self.requests_usd + self.idle_usd

    @property
    def usd_per_audio_h(self) -> float:
        """All of it, for an hour of audio."""
        return self.usd / self.audio_h

    @property
    def working_share(self) -> float:
        """How much of what is paid for machines is paid for transcribing, 0 to 1."""
        return self.working_usd / (self.working_usd + self.waiting_usd)


# --- machines ---------------------------------------------------------------------------------


def gpu_usd_per_h(figures: Numbers, instance: str, *, spot: bool = False) -> float:
    """An instance for an hour: price, fee, volume and address. Spot takes nothing off the fee."""
    on_demand_usd = figures[instance]
    price_usd = on_demand_usd * (1 - figures["spot.discount"]) if spot else on_demand_usd
    fee_usd = on_demand_usd * figures["managed_instances.fee_share"]
    volume_usd = figures["volume.per_gb_month"] * figures["volume.gb"] / _HOURS_OF_A_MONTH
    return price_usd + fee_usd + volume_usd + figures["ipv4"]


def working_s(audio_s: float, speed_x: float, utilisation: float) -> float:
    """Machine seconds for ``audio_s``; ``utilisation``, 0 to 1, is what is had of the speed."""
    return audio_s / (speed_x * utilisation)


def wake_up_s(figures: Numbers) -> float:
    """Machine seconds that a worker costs beyond its work, each time that it wakes up."""
    return figures["gpu.start_s"] + figures["gpu.idle_exit_s"] + figures["gpu.release_s"]


def waiting_at_random_s(
    files: float, file_working_s: float, *, start_s: float, idle_exit_s: float, release_s: float
) -> tuple[float, float]:
    """Wake-ups a day, and machine seconds a day without work, of one worker that sleeps when idle.

    Files come at random (Poisson). When its work is done it waits for the next file, at most
    ``idle_exit_s``, and sleeps if none came. What comes while it starts waits, and wakes nobody.
    """
    per_s = files / DAY_S
    load = min(1.0, per_s * file_working_s)
    if load == 1 or per_s * idle_exit_s > _NEVER:
        return 0.0, DAY_S * (1 - load)
    # A cycle is: asleep until a file comes, the start, and then work and waits in turn until a wait
    # is too long. The work of all of them is the load's share of the cycle.
    waits = math.exp(per_s * idle_exit_s)
    waits_s = waits * (1 - 1 / waits) / per_s
    cycle_s = (1 / per_s + start_s + waits_s) / (1 - load)
    wake_ups = DAY_S / cycle_s
    return wake_ups, wake_ups * (start_s + waits_s + release_s)


# --- what is billed by the piece --------------------------------------------------------------


def requests_usd(figures: Numbers, *, files: float, audio_s: float, machine_s: float) -> float:
    """Storage, queues, functions and logs of ``files`` that are ``audio_s`` long together."""
    audio_h = audio_s / HOUR_S
    puts = (
        files * figures["file.puts"]
        + audio_h * figures["audio_hour.puts"]
        + machine_s * figures["working_second.puts"]
    )
    gets = files * figures["file.gets"] + machine_s * figures["working_second.gets"]
    kept_gb_months = (
        audio_h
        * (figures["media.mb_per_audio_hour"] / _MB_OF_A_GB)
        * (figures["media.days"] / MONTH_DAYS)
    )
    a_file_usd = (
        figures["file.sqs"] * figures["sqs.request"]
        + figures["file.api_requests"] * (figures["http_api.request"] + figures["lambda.request"])
        + figures["file.lambda_gb_s"] * figures["lambda.gb_second"]
        + figures["file.log_kb"] / 1e6 * figures["logs.gb"]
    )
    return (
        puts * figures["s3.put"]
        + gets * figures["s3.get"]
        + kept_gb_months * figures["s3.gb_month"]
        + files * a_file_usd
    )


def idle_usd_per_day(figures: Numbers) -> float:
    """A stack that nobody uses: scheduled passes, pollers, alarms, a secret."""
    month_usd = (
        figures["idle.alarms"] * figures["alarm"]
        + figures["idle.secrets"] * figures["secret"]
        + figures["idle.lambda_gb_s"] * figures["lambda.gb_second"]
        + figures["idle.sqs"] * figures["sqs.request"]
    )
    return month_usd / MONTH_DAYS


# --- a day ------------------------------------------------------------------------------------


def gpu_at_random(
    figures: Numbers,
    instance: str,
    speed_x: float,
    *,
    files: float,
    minutes: float,
    spot: bool = False,
) -> Cost:
    """A day of ``files`` of ``minutes`` each that come at random: one worker, asleep when idle.

    More than one worker can do are spread over as many as are needed.
    """
    audio_s = files * minutes * 60
    machine_s = working_s(audio_s, speed_x, figures["gpu.fill.alone"])
    workers = max(1, math.ceil(machine_s / (0.9 * DAY_S)))  # nobody is loaded above 0.9
    _, waiting_s = waiting_at_random_s(
        files / workers,
        machine_s / files,
        start_s=figures["gpu.start_s"],
        idle_exit_s=figures["gpu.idle_exit_s"],
        release_s=figures["gpu.release_s"],
    )
    # No more than a day has seconds: who is woken before the instance is gone takes it over.
    waiting_s = min(waiting_s, DAY_S - machine_s / workers)
    return _gpu_day(figures, instance, spot, files, audio_s, machine_s, workers * waiting_s)


def gpu_at_once(
    figures: Numbers,
    instance: str,
    speed_x: float,
    *,
    files: float,
    minutes: float,
    within_h: float = 24.0,
    spot: bool = False,
) -> Cost:
    """A day's ``files`` together, done ``within_h`` hours by as many workers as that takes."""
    audio_s = files * minutes * 60
    machine_s = working_s(audio_s, speed_x, figures["gpu.fill.backlog"])
    workers = max(1, math.ceil(machine_s / (within_h * HOUR_S)))
    waiting_s = workers * wake_up_s(figures)
    waiting_s = max(waiting_s, _MINIMUM_S * workers - machine_s)
    return _gpu_day(figures, instance, spot, files, audio_s, machine_s, waiting_s)


def gpu_always(
    figures: Numbers,
    instance: str,
    speed_x: float,
    *,
    utilisation: float,
    minutes: float,
    spot: bool = False,
) -> Cost:
    """A day of one worker that never sleeps, with work for ``utilisation`` of the time, 0 to 1."""
    machine_s = DAY_S * utilisation
    audio_s = machine_s * speed_x * figures["gpu.fill.backlog"]
    files = audio_s / (minutes * 60)
    return _gpu_day(figures, instance, spot, files, audio_s, machine_s, DAY_S - machine_s)


def _gpu_day(
    figures: Numbers,
    instance: str,
    spot: bool,
    files: float,
    audio_s: float,
    machine_s: float,
    waiting_s: float,
) -> Cost:
    second_usd = gpu_usd_per_h(figures, instance, spot=spot) / HOUR_S
    return Cost(
        audio_h=audio_s / HOUR_S,
        working_usd=machine_s * second_usd,
        waiting_usd=waiting_s * second_usd,
        requests_usd=requests_usd(figures, files=files, audio_s=audio_s, machine_s=machine_s),
        idle_usd=idle_usd_per_day(figures),
    )


def lambda_speed_x(figures: Numbers, two_cores_x: float) -> float:
    """Times real time of the worker function, from what two cores of the benchmark reach."""
    cores = figures["lambda.mb"] / figures["lambda.mb_per_core"]
    return two_cores_x / 2 * cores * figures["lambda.core_speed"]


def lambda_day(
    figures: Numbers, speed_x: float, *, files: float, minutes: float, cold: float = 1.0
) -> Cost:
    """A day of the worker function; ``cold`` is the share of files that find no warm one, 0 to 1.

    It is billed while it works and while it starts, and sleeps for nothing.
    """
    audio_s = files * minutes * 60
    machine_s = audio_s / speed_x
    cold_s = files * cold * figures["lambda.cold_s"]
    second_usd = figures["lambda.mb"] / _LAMBDA_MB_OF_A_GB * figures["lambda.gb_second"]
    return Cost(
        audio_h=audio_s / HOUR_S,
        working_usd=machine_s * second_usd + files * figures["lambda.request"],
        waiting_usd=cold_s * second_usd,
        requests_usd=requests_usd(figures, files=files, audio_s=audio_s, machine_s=machine_s),
        idle_usd=idle_usd_per_day(figures),
    )


# --- break-even -------------------------------------------------------------------------------


def break_even_audio_h(
    figures: Numbers,
    instance: str,
    speed_x: float,
    hosted_usd_per_audio_h: float,
    *,
    minutes: float,
    spot: bool = False,
) -> float | None:
    """Hours of audio a day, all at once, from which one worker is cheaper; None: never.

    What a day costs is ``fixed + marginal * hours``, so it is ``fixed / (hosted - marginal)``. It
    holds as long as one worker does it in a day.
    """
    one_h = gpu_at_once(figures, instance, speed_x, files=60 / minutes, minutes=minutes, spot=spot)
    fixed_usd = one_h.waiting_usd + one_h.idle_usd
    marginal_usd = one_h.usd - fixed_usd
    if marginal_usd >= hosted_usd_per_audio_h:
        return None
    return fixed_usd / (hosted_usd_per_audio_h - marginal_usd)
