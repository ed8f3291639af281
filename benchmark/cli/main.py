"""The command line: parse, call, print. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Annotated, Any

import typer

from benchmark.cli.data import cache_app, data_app
from benchmark.cli.encoders import encoders_app
from benchmark.cli.plot import plot_app
from benchmark.cli.pretrain import pretrain_app
from benchmark.cli.reading import reading_app
from benchmark.cli.report import report_app
from benchmark.cli.results import results_app
from benchmark.cli.run import run_app
from benchmark.cli.table import table_app
from benchmark.cli.tasks import tasks_app
from benchmark.errors import UserError, message_for_user
from benchmark.system.terminal import display

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended: 128 and the signal's number
#: Errors of the disk that a user mends: full, over quota, a file too large, read-only, not allowed, failing; a path
#: that is too long, leads in circles, through a file or to a folder; a share that has gone; too many open files.
DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG,
    errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EMFILE, errno.ENFILE,
)  # fmt: skip


def _show_version(wanted: bool) -> None:
    if wanted:
        from benchmark.system.version import format_version

        display(f"bench {format_version()}")
        raise typer.Exit


app = typer.Typer(
    name="bench",
    help="Probe evaluation of frozen music audio encoders, after McCallum et al. 2022.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(run_app)
app.add_typer(reading_app)  # without a name: its commands stand beside run and embed
app.add_typer(table_app)
app.add_typer(plot_app)
app.add_typer(report_app)
app.add_typer(tasks_app, name="tasks")
app.add_typer(cache_app, name="cache")
app.add_typer(data_app, name="data")
app.add_typer(pretrain_app, name="pretrain")
app.add_typer(encoders_app, name="encoders")
app.add_typer(results_app, name="results")


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback has done all
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and stop.")
    ] = False,
    debug: Annotated[  # noqa: ARG001 - main looks for it, also where the words cannot be parsed
        bool, typer.Option("--debug", help="Show where in the code an error arose.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Tell more often how far the work is, where stderr is no terminal.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Tell nothing but results and errors.")] = False,
) -> None:
    """Probe evaluation of frozen music audio encoders, after McCallum et al. 2022."""
    from benchmark.system.progress import told

    if verbose and quiet:
        raise UserError("--verbose and --quiet contradict each other", "leave one out")
    context.with_resource(told("quiet" if quiet else "verbose" if verbose else "normal"))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a mistake that the user can mend is one message and exit code 2, Ctrl-C is 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 must not cost a result
    if os.environ.get("NO_COLOR"):  # rich would still write bold, of which typer's help has much
        from typer import rich_utils

        vars(rich_utils)["COLOR_SYSTEM"] = None
    try:
        command: Any = typer.main.get_command(app)
        with _ended_as_by_ctrl_c() as ended:
            status = command.main(args=arguments, prog_name="bench", standalone_mode=False)
    except KeyboardInterrupt:
        status, ended = INTERRUPTED, []
    except Exception as error:
        given = sys.argv[1:] if arguments is None else arguments
        message = _message_for_user(error, given)
        if message is None:
            raise
        if "--debug" in list(takewhile(lambda word: word.startswith("-"), given)):
            traceback.print_exception(error)
        _complain(message)
        sys.exit(2)
    if status == INTERRUPTED:  # typer itself turns Ctrl-C into this status
        # Where Ctrl-C met code that exec runs from a text (named tuples are made so), Python ends what -m runs by
        # SIGINT, whatever its status, unless a text is run after it.
        exec("")
        by = f"ended by {ended[0].name}" if ended else "interrupted"
        if os.environ.get("RANK", "0") == "0":  # torchrun ends all of its processes so
            _complain(f"{by}. What was finished is kept: the same command continues from there.")
        status = 128 + ended[0] if ended else INTERRUPTED
    sys.exit(status or 0)


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[list[signal.Signals]]:
    """Let SIGTERM and SIGHUP interrupt the command as Ctrl-C does; yield a list that the first of them is put into.

    A second one ends the process at once. One that is ignored (nohup does that) stays so, and only the main thread can
    set handlers.
    """
    ended: list[signal.Signals] = []
    caught = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    caught = [number for number in caught if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        caught = []

    def end(number: int, _: object) -> None:
        ended.append(signal.Signals(number))
        for other in caught:
            signal.signal(other, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in caught:
        signal.signal(number, end)
    try:
        yield ended
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _message_for_user(error: Exception, given: Sequence[str]) -> str | None:
    """Return the message of an error that a user can mend, else nothing: that one is ours, and keeps its traceback."""
    if hasattr(error, "format_message"):
        from benchmark.cli.mistakes import usage_message

        return usage_message(error, given)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return (
            "memory ran out. What was finished is kept: run the same command again with a smaller --batch-size, fewer "
            "--workers, or on a machine with more memory"
        )
    if isinstance(error, OSError) and error.errno in DISK:  # no writer has said more of it
        where = f" ({error.filename})" if error.filename is not None else ""
        return (
            f"{error.strerror}{where}. What was finished is kept: make room, or let it be written, and run the same "
            "command again"
        )
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # Python's word for it up to 3.12
        return f"{error}: a link leads to itself. Remove or mend it, and run the same command again"
    if isinstance(error, RecursionError):
        return "an input is nested too deep to be read. What was finished is kept: look at the file that was read last"
    if isinstance(error, UnicodeError):
        return (
            f"a text cannot be read or written ({error}). What was finished is kept: save the file as UTF-8, or give "
            "names that are valid Unicode, and run the same command again"
        )
    return message_for_user(error)


def _complain(message: str) -> None:
    process = os.environ.get("RANK", "0")  # of those that torchrun started
    which = f" (process {process})" if process != "0" else ""
    with suppress(OSError):  # the terminal may be gone, which SIGHUP says
        display(f"bench{which}: {message}", error=True)


if __name__ == "__main__":
    main()
