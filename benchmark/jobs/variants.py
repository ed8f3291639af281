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

from typing import TYPE_CHECKING, Literal

from benchmark.jobs.options import Options
from benchmark.jobs.protocols import DEFAULT
from probes.search.pruning import PRUNERS
from results.store import slug

if TYPE_CHECKING:
    from benchmark.encoders.base import Encoder
    from benchmark.jobs.job import Pair


def variant_of(pair: Pair, options: Options) -> str:
    """Return the variant of a pair's run, empty for the default choices."""
    layer, protocol = layer_asked(pair, options), pair.asked.protocol.name
    parts = [
        "bf16" if precision_of(pair.encoder) == "bf16" else "",
        "" if layer in (None, "auto") else f"layer-{slug(str(layer))}",
        "own-windows" if pair.own_windows else "",
        "" if protocol == DEFAULT else slug(protocol.replace(":", "-")),
        "" if options.sampler == "tpe" else f"sampler-{options.sampler}",
        "" if pruner_of(options) == _own_pruner(options) else f"pruner-{pruner_of(options)}",
        "" if options.probe_precision == "fp32" else f"probe-{options.probe_precision}",
    ]
    return "+".join(filter(None, parts))


def precision_of(encoder: Encoder) -> Literal["fp32", "bf16"] | None:
    """Return what an encoder computes in, ``None`` where it has no choice."""
    found = getattr(encoder, "precision", None)
    return found if found in ("fp32", "bf16") else None


def layer_asked(pair: Pair, options: Options) -> str | None:
    """Return the layer that is asked for by its name: a number, and no choice at all, have one too."""
    layers = pair.source.space.layers
    if layers is None:
        return None
    wanted = options.layer or "auto"
    return layers[int(wanted)] if wanted not in layers and wanted.isdecimal() else wanted


def pruner_of(options: Options) -> str:
    """Return what ends trials early: halving unless the user says otherwise, but nothing in a grid."""
    return options.pruner or _own_pruner(options)


def _own_pruner(options: Options) -> str:
    name = "none" if options.sampler == "grid" else "halving"
    assert name in PRUNERS
    return name
