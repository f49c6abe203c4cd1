"""Why a job gave no transcript."""

from whisperdrop.domain.job import JobFailure, Outcome


def failure_of(outcome: Outcome) -> JobFailure:
    """The error of a job that ended without a transcript."""
    return outcome.error or JobFailure(code="cancelled", message="the job was cancelled")
