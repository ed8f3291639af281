"""Section of a record on every choice of its run."""

from __future__ import annotations

from results.sections import Section


class ConfigurationSection(Section):
    """Every option that decides the result, under the name that it has in the file of ``bench run --config``.

    What the user did not choose is here as the protocol, the encoder or the machine chose it: ``trials``, ``seeds``,
    ``pruner``, ``layer``, and the kind of the ``device``. ``encoder`` and ``task`` are as in
    :class:`~results.sections.provenance.ProvenanceSection`, so that no path of a machine is here; options of the
    encoder are part of its text. ``None`` is a choice that there is not: ``layer`` of an encoder without layers,
    ``precision`` of one that has no choice. ``bench reproduce RECORD --print-config`` prints it as such a file.
    """

    encoder: str
    task: str
    limit: int | None
    allow_missing: int
    allow_damaged: int
    deform: str | None
    precision: str | None
    own_windows: bool
    layer: str | None
    protocol: str
    trials: int
    seed: int
    seeds: int
    sampler: str
    pruner: str
    probe_precision: str
    train_fraction: list[float]
    repeats: int
    device: str
