"""The run keys of the committed demo records are what the code computes today: no change of code has changed them."""

from pathlib import Path

import pytest

from benchmark.audio.index import AudioIndex
from benchmark.datasets.checks import contents
from benchmark.encoders.registry import resolve
from benchmark.jobs.items import select_items
from benchmark.jobs.keys import run_key
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.system.processor import arithmetic
from results import store
from tasks import registry

RESULTS = Path(__file__).resolve().parents[3] / "results"
ENCODERS = ("logmel", "mfcc", "chroma")


@pytest.fixture(scope="module")
def keys(demo_home):
    """The run key of each encoder on each demo task, with the settings of the committed records."""
    tasks = registry.find("demo", demo_home)
    options = Options(home=demo_home)
    items = [select_items(task, task.items(demo_home), options) for task in tasks]
    contents(items[0].items, demo_home)  # all five tasks are about the same files
    index = AudioIndex(demo_home)
    jobs = plan_jobs(resolve(list(ENCODERS), demo_home), items, options, records=False)
    return {(job.card.id, job.encoder.name): run_key(job, job.keys(index)) for job in jobs}


def test_every_demo_task_has_a_record_of_each_encoder(keys):
    assert len(keys) == 15


@pytest.mark.parametrize("encoder", ENCODERS)
def test_run_keys_are_those_of_the_records(keys, encoder):
    records = {record.task.id: record for record in store.read_all(RESULTS) if record.name == encoder}
    demo = {task: record for task, record in records.items() if (task, encoder) in keys}
    assert len(demo) == 5
    if {record.hardware.instructions for record in demo.values()} != {arithmetic()["instructions"]}:
        pytest.skip("the records were made with other instructions, with which the rendered audio may differ")
    assert {task: keys[task, encoder] for task in demo} == {task: record.run_key for task, record in demo.items()}
