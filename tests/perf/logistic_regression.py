"""Hold the probe of a record to scikit-learn's logistic regression on the same embeddings.

C is chosen on valid from 1e-4 to 1e3, inputs are standardised with train statistics. Run after ``bench run`` with the
same encoders and tasks (multiclass, accuracy):

    python tests/perf/logistic_regression.py -e logmel,mfcc,chroma -t CARD.toml,CARD.toml [--home H] [--results R]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tabulate import tabulate

from benchmark.audio.index import AudioIndex
from benchmark.encoders.registry import resolve
from benchmark.jobs.items import select_items
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.system.home import home_folder
from results.intervals import span
from results.store import read, record_path
from tasks import registry

C = np.logspace(-4, 3, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-e", "--encoder", required=True)
    parser.add_argument("-t", "--task", required=True)
    parser.add_argument("--home", default=None)
    parser.add_argument("--results", default="results", type=Path)
    given = parser.parse_args()
    options = Options(home=home_folder(given.home), results=given.results)
    data = [select_items(task, task.items(options.home), options) for task in registry.find(given.task)]
    index, rows = AudioIndex(options.home), []
    for job in plan_jobs(resolve(given.encoder), data, options):
        items = job.data.items
        keys = [index.key(path) for path in items.audio]
        x, y = job.store.read([key for key in keys if key]), items.targets
        train, valid, test = (items.rows(split) for split in ("train", "valid", "test"))
        best, score, chosen = None, -1.0, 0.0
        for c in C:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000)).fit(x[train], y[train])
            if (found := model.score(x[valid], y[valid])) > score:
                best, score, chosen = model, found, c
        reference = best.score(x[test], y[test])
        card = job.card
        record = read(record_path(options.results, card.id, job.encoder.name))
        probe = record.scores.test["accuracy"]
        interval = span(probe.low, probe.high)
        row = [
            card.id,
            job.encoder.name,
            f"{probe.value:.3f}",
            interval,
            "-" if probe.std is None else f"{probe.std:.3f}",
        ]
        rows.append([*row, f"{reference:.3f}", f"{chosen:g}", f"{probe.value - reference:+.3f}"])
    headers = ["task", "encoder", "probe", "95 % interval", "std", "logistic regression", "C", "difference"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
