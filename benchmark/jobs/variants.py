"""What a run is called beyond encoder and task: its choices that change what is measured, where not the default ones.

A record of the default choices is ``<encoder>.json``. Any other has its variant in the name, ``<encoder>+<part>+...``,
in this order:

===================  ==================================================================
``bf16``             the encoder computed in bfloat16 (``--precision``)
``layer-NAME``       the layer that was asked for, ``layer-mix`` or ``layer-all`` (``--layer``; not ``auto``)
``own-windows``      the encoder's own windows in place of the task's (``--own-windows``, where they were needed)
``quick``, ...       the protocol, ``published-MODEL`` for the published ones (``--protocol``; not ``paper``)
``sampler-NAME``     ``random`` or ``grid`` (``--sampler``)
``pruner-NAME``      a pruner other than the sampler's own (``--pruner``)
``probe-bf16``       the probe's products in bfloat16 (``--probe-precision``)
===================  ==================================================================

Budgets (``--trials``, ``--seeds``), seeds and machines are in the record but not in its name: they change how surely
something is measured, not what. ``--limit`` and ``--train-fraction`` have names of their own.
"""

from __future__ import annotations

from typing import Literal

from benchmark.encoders.base import Encoder
from results.store import slug

DEFAULT_PROTOCOL = "paper"


def variant_name(
    *,
    precision: str | None,
    layer: str | None,
    own_windows: bool,
    protocol: str,
    sampler: str,
    pruner: str,
    probe_precision: str,
) -> str:
    """Return the variant of a run, empty for the default choices.

    Args:
        precision: See :func:`precision_of`.
        layer: ``auto``, ``mix``, ``all`` or the name of a layer; ``None`` where the encoder has none.
        own_windows: Whether the encoder has its own windows in place of the task's.
        protocol: The protocol's name.
        sampler: What chooses the settings of a trial.
        pruner: What ends trials early.
        probe_precision: What the probe's products are computed in.
    """
    parts = [
        "bf16" if precision == "bf16" else "",
        "" if layer in (None, "auto") else f"layer-{slug(str(layer))}",
        "own-windows" if own_windows else "",
        "" if protocol == DEFAULT_PROTOCOL else slug(protocol.replace(":", "-")),
        "" if sampler == "tpe" else f"sampler-{sampler}",
        "" if pruner == own_pruner(sampler) else f"pruner-{pruner}",
        "" if probe_precision == "fp32" else f"probe-{probe_precision}",
    ]
    return "+".join(filter(None, parts))


def precision_of(encoder: Encoder) -> Literal["fp32", "bf16"] | None:
    """Return what an encoder computes in, ``None`` where it has no choice."""
    precision = getattr(encoder, "precision", None)
    return precision if precision in ("fp32", "bf16") else None


def own_pruner(sampler: str) -> str:
    """Return what ends trials early unless the user says otherwise: halving, but nothing in a grid."""
    return "none" if sampler == "grid" else "halving"
