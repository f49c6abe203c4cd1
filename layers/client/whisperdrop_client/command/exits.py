"""Exit statuses, and how errors become one line on the terminal and a status."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import typer

from whisperdrop_client.configuration import NotConfiguredError
from whisperdrop_client.errors import (
    ApiError,
    AuthenticationError,
    ForbiddenError,
    UnreachableError,
    WhisperdropError,
)

FINE = 0
SOME_FAILED = 1
"""Something that was asked for could not be done; also some of many files."""
USAGE = 2
"""The command line is wrong; nothing was begun."""
NO_SERVER = 3
"""No answer, or no key, or one that may not do this: nothing can be done before that changes."""
INTERRUPTED = 130
TERMINATED = 143

P = ParamSpec("P")
T = TypeVar("T")


def status_of(error: BaseException) -> int:
    """The status that an error stands for."""
    if isinstance(error, NotConfiguredError):
        return USAGE
    fatal = AuthenticationError | ForbiddenError | UnreachableError
    return NO_SERVER if isinstance(error, fatal) else SOME_FAILED


def explain(error: BaseException) -> str:
    """One line for the person in front of the screen."""
    if isinstance(error, AuthenticationError):
        return f"{error} (WHISPERDROP_API_KEY or --api-key)"
    if isinstance(error, ApiError) and error.status >= 500 and error.request_id:
        return f"{error} (request {error.request_id})"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def complain(message: str) -> None:
    """A line on standard error."""
    with contextlib.suppress(OSError):
        print(f"error: {message}", file=sys.stderr)


def leave(message: str, status: int) -> NoReturn:
    """Say why, and go."""
    complain(message)
    raise typer.Exit(status)


def answered(verb: Callable[P, T]) -> Callable[P, T]:
    """``verb`` with its errors as one line and a status, never a traceback."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return verb(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has had enough, as `head` has. Nothing may be flushed to it
            # any more, at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FINE) from None
        except (WhisperdropError, OSError) as error:
            leave(explain(error), status_of(error))
        except (typer.Exit, typer.BadParameter):
            raise
        except Exception as error:
            if os.environ.get("WHISPERDROP_DEBUG"):
                raise
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            leave(
                f"unexpected: {type(error).__name__}: {error}; WHISPERDROP_DEBUG=1 shows where",
                SOME_FAILED,
            )

    return run
