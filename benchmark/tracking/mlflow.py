"""MLflow: a run of an experiment at ``$MLFLOW_TRACKING_URI``, else in ``mlflow.db`` beside the records.

The client is used and not ``mlflow.start_run``, which would tell the user's name and the path of the program.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from benchmark.tracking.contract import About, Status, Value

ENDED: Mapping[Status, str] = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


class MlFlow:
    """A run there."""

    def __init__(self, about: About) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            about.folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{about.folder.absolute() / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=uri)
        there = self._client.get_experiment_by_name(about.project)
        experiment = self._client.create_experiment(about.project) if there is None else there.experiment_id
        self._id = self._client.create_run(experiment, run_name=about.name).info.run_id
        settings = [Param(name, str(value)) for name, value in about.settings.items()]
        self._client.log_batch(self._id, params=settings)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of a step."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def summarise(self, values: Mapping[str, Value]) -> None:
        """Log numbers as metrics, and texts as tags."""
        self.log(0, {name: float(value) for name, value in values.items() if not isinstance(value, str)})
        tags = [RunTag(name, value) for name, value in values.items() if isinstance(value, str)]
        self._client.log_batch(self._id, tags=tags)

    def close(self, status: Status) -> None:
        """End the run with its status."""
        self._client.set_terminated(self._id, status=ENDED[status])


def open_tracker(about: About) -> MlFlow:
    """Begin a run."""
    return MlFlow(about)
