"""Where each record comes from: what made it, of what, on which machine, and whether it is as it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.jobs.remarks import remarks
from benchmark.reports.page.scores import row_name
from benchmark.reports.page.tables import NONE, Cell, Column, Table
from benchmark.reports.page.views import Fact, Folded
from results.partial import format_left_out
from results.record import Record
from results.store import slug
from results.together import Place, Together, place_of

SHORT = 12  # digits of a key in the table; its facts have all of them


def anchor_of(record: Record) -> str:
    """Return the id of a record's place in the page."""
    limit = f".limit-{record.limit}" if record.limit is not None else ""
    variant = f"+{record.variant}" if record.variant else ""
    return f"record-{slug(record.task.id)}.{slug(record.encoder.id)}{variant}{limit}"


def overview_of(together: Together, without: Mapping[Place, str]) -> Table:
    """Return one line a record: what made it, and whether it was checked."""
    columns = (
        Column("encoder"), Column("task"), Column("protocol"), Column("trials", True), Column("probes", True),
        Column("made"), Column("version"), Column("commit"), Column("run key"), Column("checked"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(row_name(record, together), link=anchor_of(record)), Cell(record.task.id), Cell(record.protocol),
            Cell(str(len(record.search.trials)), len(record.search.trials)),
            Cell(str(len(record.seeds.probes)), len(record.seeds.probes)),
            Cell(record.created[:16].replace("T", " ")), Cell(_version(record)), Cell(_commit(record)),
            Cell(record.run_key[:SHORT]), Cell(checked(record, without)),
        )
        for record in together.records
    )  # fmt: skip
    return Table("All records", columns, rows)


def checked(record: Record, without: Mapping[Place, str]) -> str:
    """Say in words whether digests vouch for a record and its predictions."""
    missing = without.get(place_of(record))
    if missing:
        return f"record {'yes' if record.schema_version >= 3 else 'no digests'}; {missing}"
    return "record and predictions" if record.checked else f"no: schema {record.schema_version}, without digests"


def facts_of(record: Record, together: Together, without: Mapping[Place, str]) -> Folded:
    """Return all that a record says of where it comes from."""
    title = f"{row_name(record, together)} on {record.task.id}"
    groups = (_asked(record), _inputs(record), _search(record), _machine(record), _digests(record, without))
    facts = tuple(fact for group in groups for fact in group if fact.value)
    return Folded(title, anchor_of(record), facts, tuple(remarks(record)))


def _version(record: Record) -> str:
    return record.provenance.version if record.provenance else record.versions.get("benchmark", NONE)


def _commit(record: Record) -> str:
    commit = record.provenance.commit if record.provenance else None
    return commit[:SHORT] if commit else NONE


def _asked(record: Record) -> Sequence[Fact]:
    known = record.provenance
    return (
        Fact("command", (known.command if known else None) or "not recorded", code=True),
        Fact("version", _version(record)),
        Fact("commit", (known.commit if known else None) or "", code=True),
        Fact("made", record.created),
        Fact("run key", record.run_key, code=True),
        Fact("limit", "" if record.limit is None else f"{record.limit} items"),
        Fact("variant", record.variant),
    )


def _inputs(record: Record) -> Sequence[Fact]:
    task, encoder, data = record.task, record.encoder, record.data
    windows = "whole tracks" if encoder.window_seconds is None else f"{encoder.window_seconds:g} s"
    windows += "" if encoder.hop_seconds is None else f" every {encoder.hop_seconds:g} s"
    rate = "embeddings that were given" if encoder.sample_rate is None else f"{encoder.sample_rate:,} Hz, {windows}"
    return (
        Fact("task", f"{task.title} ({task.id}, version {task.version}, {task.kind})"),
        Fact("task fingerprint", task.fingerprint, code=True),
        Fact("encoder", f"{encoder.id}, version {encoder.version}, {encoder.dim:,} dimensions, {rate}"),
        Fact("encoder fingerprint", encoder.fingerprint, code=True),
        Fact("space", encoder.space, code=True),
        Fact("fitted on", encoder.fitted_on or "", code=True),
        Fact("precision", encoder.precision or ""),
        Fact("environment", "" if encoder.environment is None else str(encoder.environment)),
        Fact("items", ", ".join(f"{split} {count:,}" for split, count in data.counts.items())),
        Fact("groups", "" if data.groups is None else f"{data.groups:,}"),
        Fact("audio", "" if data.audio_seconds is None else f"{data.audio_seconds / 3600:,.2f} hours"),
        Fact("data fingerprint", data.fingerprint, code=True),
        Fact("left out", format_left_out(data)),
    )


def _search(record: Record) -> Sequence[Fact]:
    search, probe, seeds = record.search, record.probe, record.seeds
    hidden = " × ".join(map(str, probe.hidden)) or "linear"
    chosen = f"trial {search.selected}: {hidden}, learning rate {probe.learning_rate:.3g}, L2 {probe.l2:.3g}, "
    chosen += f"{probe.steps:,} steps, {probe.parameters:,} parameters"
    return (
        Fact("protocol", f"{record.protocol}, version {search.protocol_version}, section {search.section}"),
        Fact("search", f"{len(search.trials)} trials, sampler {search.sampler}, pruner {search.pruner}"),
        Fact("selected", f"{chosen}; by {search.objective} on valid"),
        Fact("layer", probe.layer or ""),
        Fact("seeds", f"search {seeds.search}; probes {', '.join(map(str, seeds.probes))}"),
        Fact("diverged seeds", ", ".join(map(str, seeds.diverged))),
        Fact("folds", ", ".join(fold.name for fold in record.folds)),
    )


def _machine(record: Record) -> Sequence[Fact]:
    hardware, seconds = record.hardware, record.seconds
    parts = [hardware.cpu, f"{hardware.cores} cores", f"{hardware.memory_gb:g} GB", f"device {hardware.device}"]
    parts += [part for part in (hardware.accelerator, hardware.instructions) if part]
    return (
        Fact("machine", ", ".join(parts)),
        Fact("oneDNN", hardware.onednn or ""),
        Fact("linear algebra", "; ".join(hardware.blas)),
        Fact("threads", "" if hardware.threads is None else str(hardware.threads)),
        Fact("limits", ", ".join(f"{name}={value}" for name, value in hardware.limits.items())),
        Fact("libraries", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        Fact(
            "seconds",
            f"embedding {seconds.embed:,.1f}, search {seconds.search:,.1f}, probes {seconds.probes:,.1f}, "
            f"in all {seconds.total:,.1f}",
        ),
    )


def _digests(record: Record, without: Mapping[Place, str]) -> Sequence[Fact]:
    return (
        Fact("schema", str(record.schema_version)),
        Fact("predictions", record.predictions, code=True),
        Fact("sha256 of predictions", record.predictions_sha256 or "", code=True),
        Fact("checked", checked(record, without)),
    )
