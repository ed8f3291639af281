"""The rules of the check: each a pure function from an encoder's outputs to a finding with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.encoders.base import Encoder, WeightsFound
from benchmark.encoders.cards.agreement import disagreements
from benchmark.encoders.fingerprint import module_modes
from benchmark.encoders.outputs import EncoderOutput
from benchmark.encoders.remote import RemoteEncoder

#: Largest relative difference between embeddings of one input, by what they are computed in. A device may compute
#: convolutions with 10-bit mantissas (TF32), so it is compared less strictly.
TOLERANCE = 1e-4
HALF_TOLERANCE = 3e-2
DEVICE_TOLERANCE = 1e-2

#: Smallest relative difference between embeddings of different inputs.
LEAST_DIFFERENCE = 1e-6

NAMED = 5  # tensors in a finding
#: Frames, and the share of all, by which a frame rate that is measured may differ from that of a card.
FRAMES_APART, FRAMES_SHARE = 3.0, 0.01

HALVES = ("float16", "bfloat16")


@dataclass(frozen=True)
class Finding:
    """A rule, whether the encoder keeps it, and what was measured, in words."""

    rule: str
    passed: bool
    numbers: str


def differences(first: np.ndarray, second: np.ndarray, layers: int = 1) -> np.ndarray:
    """Return the relative distance of rows [B, layers * D]: by row and layer, |a - b| / the larger length. [B, layers].

    Two rows of zeros have distance 0.
    """
    a, b = (np.asarray(rows, np.float64).reshape(len(rows), layers, -1) for rows in (first, second))
    length = np.maximum(np.linalg.norm(a, axis=2), np.linalg.norm(b, axis=2))
    distance: np.ndarray = np.linalg.norm(a - b, axis=2) / np.where(length > 0, length, 1.0)
    return distance


def tolerance_of(encoder: Encoder, output: EncoderOutput) -> float:
    """Return how far embeddings of one input may lie apart: further for what computes in half precision."""
    half = output.dtype in HALVES or getattr(encoder, "precision", "fp32") == "bf16"
    return HALF_TOLERANCE if half else TOLERANCE


def shape(encoder: Encoder, output: EncoderOutput) -> Finding:
    """Return the finding on the shape of an output that is as declared."""
    sizes = list(output.values.shape)
    if encoder.layers is None and len(sizes) == 3:
        return Finding("shape", True, f"{sizes}: {sizes[1]} frame(s) a window, averaged to dim {encoder.dim}")
    return Finding("shape", True, f"{sizes} as declared")


def dtype(output: EncoderOutput) -> Finding:
    """Any floats will do, but only float32 is stored as it is."""
    if output.dtype == "float32":
        return Finding("dtype", True, "float32")
    storage = "rounded to float32" if output.dtype == "float64" else "stored as float32, no more exact than it is"
    return Finding("dtype", True, f"{output.dtype}: {storage}")


def layers_counted(encoder: Encoder, output: EncoderOutput) -> Finding:
    """As many layers must come as are declared."""
    if encoder.layers is None:
        return Finding("layers", True, "none declared")
    declared, returned = len(encoder.layers), output.values.shape[1]
    return Finding("layers", declared == returned, f"{returned} returned, {declared} declared")


def no_graph(output: EncoderOutput) -> Finding:
    """An answer that drags its computation along keeps every activation in memory."""
    return Finding("no graph", not output.graph, f"requires_grad is {output.graph}")


def finite(rows: Mapping[str, np.ndarray]) -> Finding:
    """Rows by the name of their input must hold no NaN and no infinity."""
    bad = {name: int((~np.isfinite(row)).sum()) for name, row in rows.items() if not np.isfinite(row).all()}
    if bad:
        width = len(next(iter(rows.values())))
        return Finding("finite", False, ", ".join(f"{n} of {width} not finite on {name}" for name, n in bad.items()))
    largest = max(float(np.abs(row).max()) for row in rows.values())
    return Finding("finite", True, f"on {', '.join(rows)}; largest number {largest:.3g}")


def same(rule: str, first: np.ndarray, second: np.ndarray, most: float, layers: int = 1, what: str = "") -> Finding:
    """Rows [B, W] of the same input must be the same, up to a relative difference of ``most``."""
    largest = float(np.nan_to_num(differences(first, second, layers), nan=np.inf).max())
    extra = f" ({what})" if what else ""
    return Finding(rule, largest <= most, f"relative difference {largest:.2g}, at most {most:g} allowed{extra}")


def inputs_matter(rows: np.ndarray) -> Finding:
    """Rows [B, W] of different audio must differ."""
    pairs = [differences(rows[i : i + 1], rows[j : j + 1]).max() for i in range(len(rows)) for j in range(i)]
    least = float(np.nan_to_num(min(pairs)))
    numbers = f"embeddings of {len(rows)} different sounds differ by {least:.2g} at least (relative)"
    if least < LEAST_DIFFERENCE:
        numbers += f", but {LEAST_DIFFERENCE:g} is needed"
    return Finding("inputs matter", least >= LEAST_DIFFERENCE, numbers)


def evaluation_mode(encoder: Encoder) -> Finding:
    """No torch module of the encoder may be in training mode, where dropout and batch statistics are alive."""
    modules = encoder.module_modes() if isinstance(encoder, RemoteEncoder) else module_modes(encoder)
    training = [name for name, in_training in modules if in_training]
    if training:
        names = ", ".join(dict.fromkeys(training))
        return Finding("eval mode", False, f"{len(training)} of {len(modules)} modules in training mode: {names[:200]}")
    return Finding("eval mode", True, f"{len(modules)} torch modules" if modules else "no torch module")


def weights(found: WeightsFound) -> Finding:
    """What files hold and the network does not use, or the reverse, is named; left-out layers break the rule."""
    if found.beyond:
        return Finding(
            "weights", False, f"{_tensors(found.beyond)} of its files are named like its layers and are not used: its "
            "configuration counts fewer layers than there are",
        )  # fmt: skip
    unused = (
        f"{_tensors(found.unused)} of its files are not used" if found.unused else "every tensor of its files is used"
    )
    lacking = f"; no file holds {_tensors(found.lacking)}, computed or left at zero" if found.lacking else ""
    return Finding("weights", True, unused + lacking)


def _tensors(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} tensor{'s' * (len(names) != 1)} ({', '.join(names[:NAMED])}{more})"


def as_card(encoder: Encoder, seconds: float) -> Finding:
    """What an encoder is must be what its card says; its frames too, where both tell.

    Args:
        encoder: One that a card opened, after a call.
        seconds: Of the input of that call.
    """
    card, facts = encoder.card, encoder.facts()
    told = disagreements(card, encoder, encoder.beside_card)
    measured = getattr(encoder, "frame_rate", None)
    if card.frame_rate is not None and measured is not None:
        # Convolutions lose a frame or two at the ends.
        apart = abs(measured - card.frame_rate) * seconds
        if apart > max(FRAMES_APART, FRAMES_SHARE * card.frame_rate * seconds):
            told.append(f"frame_rate is {card.frame_rate:.4g} on the card and {measured:.4g} in the model")
    if told:
        return Finding("card", False, f"{card.id}: {'; '.join(told)}")
    layers = f"{facts['layers']} rows of " if facts.get("layers") else ""
    frames = f", {measured:.4g} frames a second" if measured is not None else ""
    return Finding("card", True, f"{layers}{facts['dim']} at {facts['sample_rate']} Hz{frames}, as {card.id} says")


def fingerprint_unchanged(before: str, after: str) -> Finding:
    """What keys the embeddings must not change by running."""
    if before == after:
        return Finding("fingerprint", True, f"{before[:16]} before and after running")
    numbers = f"{before[:16]} before and {after[:16]} after running"
    return Finding(
        "fingerprint",
        False,
        f"{numbers}: load weights in __init__, and name counters and the like in not_in_fingerprint",
    )


def opened_twice(
    first: tuple[str, np.ndarray], second: tuple[str, np.ndarray], most: float, layers: int = 1
) -> Finding:
    """An encoder that is opened a second time must have the same fingerprint and give the same rows [B, W].

    Args:
        first: Fingerprint and rows of the one opening.
        second: Those of the other.
        most: Relative difference that rows may have.
        layers: Layers side by side in a row.
    """
    if first[0] != second[0]:
        numbers = f"fingerprint {first[0][:16]} the first time and {second[0][:16]} the second"
    elif first[1].shape != second[1].shape:
        numbers = f"one fingerprint, but rows of {list(first[1].shape)} and {list(second[1].shape)}"
    else:
        comparison = same("opened twice", first[1], second[1], most, layers)
        if comparison.passed:
            return Finding("opened twice", True, f"one fingerprint, {first[0][:16]}; {comparison.numbers}")
        numbers = f"one fingerprint, {first[0][:16]}, but {comparison.numbers}"
    reason = "something of it is in no file: set a seed for what is drawn, and keep weights in a file or an attribute"
    return Finding("opened twice", False, f"{numbers}: {reason}")


@dataclass(frozen=True)
class Reopened:
    """What the second opening gave: the fingerprint, and rows [count, width] for the first made-up sounds."""

    fingerprint: str
    rows: np.ndarray
