"""Where the numbers of a training go: a CSV file, TensorBoard's event files where it is installed, others if asked."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from benchmark.system.extras import install_command
from benchmark.system.progress import Reporter
from benchmark.tracking.contract import About, Status, Value
from benchmark.tracking.kinds import Tracking, is_installed
from benchmark.tracking.trackers import Trackers
from results.files import replace_file

CSV_NAME, EVENTS = "metrics.csv", "tensorboard"


class Log(Protocol):
    """Takes numbers by name."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""

    def close(self, status: Status = "finished") -> None:
        """Flush all that was written, and say how the run ended."""


class CsvLog:
    """One row a number: ``step,name,value``. Rows behind the step that a run resumes from are dropped."""

    def __init__(self, path: Path, start: int) -> None:
        rows = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.reader(file):
                    with suppress(ValueError):  # the head; a last line that was cut off
                        if len(row) == 3 and int(row[0]) <= start and float(row[2]) is not None:
                            rows.append(row)
        kept = io.StringIO()
        csv.writer(kept, lineterminator="\n").writerows([["step", "name", "value"], *rows])
        replace_file(path, kept.getvalue().encode())
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append the numbers of a step."""
        self._writer.writerows([[step, name, repr(float(value))] for name, value in values.items()])
        self._file.flush()

    def close(self, status: Status = "finished") -> None:  # noqa: ARG002 - a table has no status
        """Close the file."""
        self._file.close()


class TrackerLog:
    """Trackers: what they are told is their own affair, and never ends a training."""

    def __init__(self, trackers: Trackers) -> None:
        self._trackers = trackers

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over the numbers of a step."""
        self._trackers.log(step, values)

    def close(self, status: Status = "finished") -> None:
        """End the run there."""
        self._trackers.close(status)


def open_logs(run: Path, start: int, tracking: Tracking, parameters: Mapping[str, Any], report: Reporter) -> list[Log]:
    """Return the logs of a run that begins after step ``start``: CSV, TensorBoard where it is here, others if asked."""
    kinds = dict.fromkeys(("tensorboard", *tracking.kinds))
    if not is_installed("tensorboard"):
        del kinds["tensorboard"]
        report.say(
            f"TensorBoard is not installed, so numbers go to {run / CSV_NAME} alone. It comes with: "
            f"{install_command('pretrain')}"
        )
    settings = {name: _value(value) for name, value in parameters.items() if value is not None}
    about = About(tracking.project, run.name, run / EVENTS, run, settings, start)
    return [CsvLog(run / CSV_NAME, start), TrackerLog(Trackers(tuple(kinds), about, report))]


def _value(value: Any) -> Value:
    return value if isinstance(value, str | int | float) else str(value)
