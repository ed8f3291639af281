"""Every choice of a run, as its record holds it, and as the file that ``bench run --config`` takes."""

from __future__ import annotations

from pathlib import Path

from benchmark.jobs.job import Job
from benchmark.jobs.provenance import encoder_text, task_text
from benchmark.jobs.variants import precision_of
from benchmark.system.machine import kind_of
from results import store as records
from results.record import Record
from results.sections.configuration import ConfigurationSection
from tasks.files import toml_value


def configuration_section(job: Job) -> ConfigurationSection:
    """Return every choice of a job that decides its result."""
    search, subset = job.search, job.subset
    return ConfigurationSection(
        encoder=encoder_text(job.encoder, job.home),
        task=task_text(job.data.task, job.home),
        limit=job.limit,
        allow_missing=job.allow_missing,
        allow_damaged=job.allow_damaged,
        deform=",".join(each.text for each in job.deform) or None,
        precision=precision_of(job.encoder),
        own_windows=job.own_windows,
        layer=search.layer,
        protocol=job.data.protocol.name,
        trials=search.trials,
        seed=search.seed,
        seeds=search.seeds,
        sampler=search.sampler,
        pruner=search.pruner,
        probe_precision=search.precision,
        train_fraction=[] if subset is None else [subset.fraction],
        repeats=1 if subset is None else subset.repeat + 1,
        device=kind_of(search.device),
    )


def configuration_of(record: Record) -> ConfigurationSection:
    """Return the choices of a record; of one that does not hold them, as its other fields tell."""
    if record.configuration is not None:
        return record.configuration
    made, search, curve = record.provenance, record.search, record.curve
    return ConfigurationSection(
        encoder=record.encoder.id if made is None else made.encoder,
        task=record.task.id if made is None else made.task,
        limit=record.limit,
        allow_missing=record.data.allow_missing,
        allow_damaged=record.data.allow_damaged,
        deform=",".join(each.spec for each in record.robustness) or None,
        precision=record.encoder.precision,
        own_windows=record.encoder.own_windows,
        layer="auto" if search.layers is not None else record.probe.layer,
        protocol=record.protocol,
        trials=len(search.trials),
        seed=record.seeds.search,
        seeds=len(record.seeds.probes) + len(record.seeds.diverged),
        sampler=search.sampler,
        pruner=search.pruner,
        probe_precision=record.probe.precision,
        train_fraction=[] if curve is None else [curve.fraction],
        repeats=1 if curve is None else curve.repeat + 1,
        device=record.hardware.device.partition(":")[0],
    )


def configuration_text(path: Path) -> str:
    """Return the choices of the record at ``path`` as a file that ``bench run --config`` takes.

    Raises:
        RecordError: It cannot be read.
    """
    record = records.read(path)
    made = record.provenance
    values = {key: value for key, value in configuration_of(record) if value not in (None, [])}
    lines = [
        f"# Every choice of the run {record.run_key[:12]}, {record.name} on {record.task.id}, made by version "
        f"{'unknown' if made is None else made.version}.",
        "# bench run --config FILE makes it again, or keeps its record where that lies. Relative paths are relative",
        "# to this file: put it beside a card or an encoder of your own that it names.",
    ]
    if made is not None and made.command is None:
        lines.append("# The encoder was an object in Python: name what it is here, such as mine.py:Class.")
    lines = [toml_comment(line) for line in lines]
    return "\n".join([*lines, "", *(f"{key} = {toml_value(value)}" for key, value in values.items()), ""])


def toml_comment(line: str) -> str:
    """Return a comment in which no name can end the line, or hold what a comment may not."""
    return "".join(one if one.isprintable() else "?" for one in line)
