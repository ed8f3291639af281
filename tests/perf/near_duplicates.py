"""How many planted near-duplicates are found: copies of test items of a demo task under deformations, put into train.

    python tests/perf/near_duplicates.py --home HOME

HOME is a data home with the demo collection (it is rendered where it is not); deformed audio is embedded into it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmark.encoders.registry import resolve
from benchmark.jobs.embed import embed
from benchmark.jobs.items import prepare
from benchmark.jobs.near_duplicates import near_duplicates
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.robustness import deformed_splits
from benchmark.jobs.splits import open_job_data
from benchmark.system.progress import Silent
from probes.data import SplitArrays
from tasks import registry

DEFORM = "shift=20ms,noise=40,gain=-3,mp3=128k,mp3=64k,gain=-20"


def main() -> None:
    """Print, for each encoder and deformation, how many were found, and how many false ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--task", default="demo_key")
    given = parser.parse_args()
    options = Options(home=given.home, deform=DEFORM)
    items = prepare(registry.find(given.task, given.home), options, Silent())
    for encoder in ("logmel", "mfcc", "chroma"):
        (job,) = plan_jobs(resolve(encoder, given.home), items, options, records=False)
        embed([job], options.embedding, Silent())
        with open_job_data(job, {}) as splits:
            train, test = splits.arrays("train"), splits.arrays("test")
            rows = np.arange(0, len(test), 10)
            print(f"{encoder}: {len(near_duplicates(train, test).pairs)} without planting")
            for deformation in job.deform:
                deformed = deformed_splits(splits, deformation)
                deformed.scratch.mkdir(exist_ok=True)
                copies = deformed.arrays("test").embeddings[rows]
                planted = SplitArrays(
                    (*train.ids, *(f"copy-{test.ids[i]}" for i in rows)),
                    np.concatenate([train.embeddings, copies]),
                    np.concatenate([train.targets, test.targets[rows]]),
                )
                pairs = near_duplicates(planted, test).pairs
                found = sum(other == f"copy-{one}" for one, other, _ in pairs)
                print(f"{encoder}, {deformation.text}: {found} of {len(rows)}, {len(pairs) - found} false")


if __name__ == "__main__":
    main()
