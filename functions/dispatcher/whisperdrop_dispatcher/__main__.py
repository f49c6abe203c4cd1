"""``python -m whisperdrop_dispatcher``: sweep and fleet as a process, and the operator's verbs.

Without a verb it goes on until SIGTERM; ``once`` does a single pass of everything.
"""

import argparse
import sys
from collections.abc import Callable

from whisperdrop_dispatcher import admin_check, admin_data, admin_job, admin_queues, loop

Adder = Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None]

VERBS: tuple[Adder, ...] = (
    loop.add_once,
    admin_check.add_check,
    admin_queues.add_queues,
    admin_job.add_job,
    admin_data.add_data,
)
"""Each adds a verb's parser, with ``run`` among its defaults: options in, exit status out."""


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and answer with an exit status."""
    parser = argparse.ArgumentParser(prog="whisperdrop_dispatcher", description=__doc__)
    parser.add_argument(
        "--queues-are-new",
        action="store_true",
        help="the queues have just been made: in the first pass queue every job that waits",
    )
    parser.set_defaults(run=loop.serve)
    verbs = parser.add_subparsers(metavar="verb")
    for add in VERBS:
        add(verbs)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
