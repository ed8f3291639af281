"""TensorBoard: event files in a folder, for ``tensorboard --logdir``.

The files are written record by record and not by torch's ``SummaryWriter``, which puts the name of the machine into the
name of each file.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from benchmark.tracking.contract import About, Status, Value
from results.markdown import escaped


class TensorBoard:
    """One event file below :attr:`About.events`."""

    def __init__(self, about: About) -> None:
        about.events.mkdir(parents=True, exist_ok=True)
        seconds, rest = divmod(time.time_ns(), 10**9)  # files are read in the order of their names
        name = f"events.out.tfevents.{seconds:010d}.{rest:09d}.{uuid.uuid4().hex[:8]}"
        self._file = (about.events / name).open("wb")
        self._records: Any = RecordWriter(self._file)
        self._settings = dict(about.settings)
        self._add(Event(file_version="brain.Event:2"))
        if about.start:  # what an earlier process wrote of later steps is not shown
            self._add(Event(step=about.start + 1, session_log=SessionLog(status=SessionLog.START)))
        if self._settings:
            self._text("settings", self._settings)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(Event(step=step, summary=Summary(value=scalars)))

    def summarise(self, values: Mapping[str, Value]) -> None:
        """Write numbers as scalars of step 0 and beside the settings in the tab of hyperparameters, texts as text."""
        numbers = {name: float(value) for name, value in values.items() if not isinstance(value, str)}
        self.log(0, numbers)
        self._text("result", values)
        for part in summary.hparams(self._settings, numbers):
            self._add(Event(summary=part))

    def close(self, status: Status) -> None:  # noqa: ARG002 - a file has no status
        """Close the file."""
        self._file.close()

    def _text(self, name: str, values: Mapping[str, Value]) -> None:
        rows = [f"| {escaped(key)} | {escaped(str(value))} |" for key, value in values.items()]
        self._add(Event(summary=summary.text(name, "\n".join(["| | |", "| --- | --- |", *rows]))))

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
        self._file.flush()


def open_tracker(about: About) -> TensorBoard:
    """Begin an event file."""
    return TensorBoard(about)
