"""What every line of a request or a job has in common, whichever function logs it.

The fields follow the flow of control (a context variable), not the process: many jobs are at work
side by side, and Powertools' own ``append_keys`` would put one job's id on another's lines.
"""

import contextvars
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from whisperdrop.observability import tracing

P = ParamSpec("P")
T = TypeVar("T")

_NONE: Mapping[str, str] = MappingProxyType({})
_fields: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("log", default=_NONE)


@contextmanager
def logged_with(**fields: str | None) -> Iterator[None]:
    """Every line that is logged in the block has ``fields``; those that are None are left out."""
    token = _fields.set(_with(fields))
    try:
        yield
    finally:
        _fields.reset(token)


def log_also(**fields: str | None) -> None:
    """Every further line of the enclosing ``logged_with`` has ``fields`` too."""
    _fields.set(_with(fields))


def _with(fields: Mapping[str, str | None]) -> Mapping[str, str]:
    said = {name: value for name, value in fields.items() if value is not None}
    return {**_fields.get(), **said}


def in_context(work: Callable[P, T]) -> Callable[P, T]:
    """``work`` for another thread, with the fields and the span of this one."""
    context = contextvars.copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(work, *args, **kwargs)

    return run


class AddContext(logging.Filter):
    """Puts the fields on a record, unless it says them itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: nothing is held back."""
        for name, value in _fields.get().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        if (trace_id := tracing.trace_id()) is not None:
            record.trace_id = trace_id
        return True
