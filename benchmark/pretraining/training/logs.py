"""Where the numbers of a run go: a CSV file, TensorBoard's event files where it is installed, others if asked."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from benchmark.errors import UserError
from benchmark.system.extras import install_command
from benchmark.system.progress import Reporter
from results.files import replace_file

CSV_NAME, EVENTS = "metrics.csv", "tensorboard"
#: Loggers that a user may ask for, and the package of each.
ASKED: Mapping[str, str] = {"wandb": "wandb", "mlflow": "mlflow"}


class Log(Protocol):
    """Takes numbers by name."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""

    def close(self) -> None:
        """Flush all that was written."""


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

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLog:
    """Event files below a folder."""

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=start + 1 if start else None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class AskedLog:
    """Weights & Biases or MLflow, with their own settings from the environment."""

    def __init__(self, kind: str, run: Path, parameters: Mapping[str, Any]) -> None:
        try:
            self._module: Any = importlib.import_module(ASKED[kind])
        except ImportError:
            raise UserError(
                f"--log {kind} needs the package {ASKED[kind]}", f"install it: pip install {ASKED[kind]}"
            ) from None
        self._kind = kind
        if kind == "wandb":
            self._module.init(project="pretraining", name=run.name, dir=str(run), config=dict(parameters))
        else:
            self._module.start_run(run_name=run.name)
            self._module.log_params(dict(parameters))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over the numbers of a step."""
        if self._kind == "wandb":
            self._module.log(dict(values), step=step)
        else:
            self._module.log_metrics(dict(values), step=step)

    def close(self) -> None:
        """End the run there."""
        if self._kind == "wandb":
            self._module.finish()
        else:
            self._module.end_run()


def open_logs(
    run: Path, start: int, asked: tuple[str, ...], parameters: Mapping[str, Any], report: Reporter
) -> list[Log]:
    """Return the logs of a run that begins after step ``start``.

    Raises:
        UserError: A logger that was asked for is unknown or not installed.
    """
    for kind in asked:
        if kind not in ASKED:
            raise UserError(
                f"--log has no {kind!r}",
                f"choose among {', '.join(ASKED)}; CSV and TensorBoard are always written",
            )
    others: list[Log] = [AskedLog(kind, run, parameters) for kind in asked]
    logs: list[Log] = [CsvLog(run / CSV_NAME, start), *others]
    try:
        logs.append(TensorBoardLog(run / EVENTS, start))
    except ImportError:
        report.say(
            f"TensorBoard is not installed, so numbers go to {run / CSV_NAME} alone. It comes with: "
            f"{install_command('pretrain')}"
        )
    return logs
