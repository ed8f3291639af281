"""A probe on a user's own files: decode, cut and embed them as its record did, and print what it hears."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.pool import NO_LIMIT, decode_all
from benchmark.audio.reader import Decoded
from benchmark.audio.windows import TooShortError, cut
from benchmark.embeddings.batches import BatchEncoding, Heard
from benchmark.embeddings.space import Space, space_of
from benchmark.encoders.base import Encoder
from benchmark.encoders.fingerprint import set_to_eval
from benchmark.encoders.registry import UnknownEncoderError, resolve_one
from benchmark.encoders.trust import refuse_code_of_data
from benchmark.errors import UserError
from benchmark.jobs.export import find_probe
from benchmark.system.home import home_folder
from benchmark.system.machine import device_of, threads_for, workers_of
from benchmark.system.progress import Reporter, Silent, Terminal
from benchmark.system.stdout import stdout_to_stderr
from benchmark.system.terminal import display
from tasks.kinds import KINDS

if TYPE_CHECKING:
    from probes.export.files import ProbeCard
    from probes.export.function import StoredProbe


@dataclass(frozen=True)
class Prediction:
    """What a probe says of one file, or why it says nothing.

    Attributes:
        path: The file.
        outputs: float32 [outputs], in the order of the probe's labels; ``None`` where the file cannot be used.
        seconds: Its length, or what could be decoded of it.
        clipped: Whether its samples were beyond full scale.
        problem: Why it cannot be used.
    """

    path: Path
    outputs: np.ndarray | None
    seconds: float
    clipped: bool = False
    problem: str = ""


def command(
    probe: Path,
    files: Sequence[Path],
    *,
    encoder: str | None,
    home: Path | None,
    device: str,
    batch_size: int,
    workers: int | None,
    top_k: int | None,
    as_json: bool,
) -> None:
    """Print what the probe says of each file; end with status 2 if a file could not be used."""
    card, found = predict(
        probe, files, encoder=encoder, home=home, device=device, batch_size=batch_size, workers=workers,
        report=Terminal(),
    )  # fmt: skip
    if as_json:
        display(json.dumps(as_data(card, found, top_k), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        display("\n\n".join(format_prediction(card, one, top_k) for one in found if one.outputs is not None))
    damaged = [one for one in found if one.outputs is None]
    for one in damaged:
        display(f"bench: {one.path}: {one.problem} ({one.seconds:.2f} s recovered)", error=True)
    if damaged:
        sys.exit(2)


def predict(
    probe: Path,
    files: Sequence[Path],
    *,
    encoder: str | Encoder | None = None,
    home: Path | str | None = None,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
    report: Reporter | None = None,
) -> tuple[ProbeCard, list[Prediction]]:
    """Return the card of an exported probe and what it says of each of ``files``, in order. Nothing is stored.

    Args:
        probe: The folder that ``bench run --export`` wrote, or one above it that holds no other.
        files: Audio files.
        encoder: What names the encoder, or the encoder; as the probe says by default.
        home: Data home, where fetched weights are.
        device: ``cpu``, ``cuda``, ..., or ``auto``.
        batch_size: Windows in a batch of the encoder.
        workers: Decoding processes; by default none for one file, else as many as there are files or cores.
        report: Is told what differs from the machine that trained the probe.

    Raises:
        UserError: No probe, an encoder that is not the one it was trained on, or none of the files is named. What is
            wrong with a single file is in its prediction.
    """
    from probes.export.files import ProbeFileError, load

    report = report or Silent()
    if not files:
        raise UserError("no audio file was named")
    if batch_size < 1 or (workers is not None and workers < 0):
        raise UserError("--batch-size must be at least 1 and --workers at least 0")
    try:
        stored, card = load(find_probe(probe))
    except ProbeFileError as error:
        raise UserError(str(error)) from None
    if encoder is None:
        refuse_code_of_data(
            card.encoder.text, f"the probe {probe}", f"bench predict FILE --probe {shlex.quote(str(probe))}"
        )
    used, space = encoder_of(card, stored, encoder, home_folder(home), report)
    where = device_of(device, used.arrays)
    if workers is None:
        workers = 0 if len(files) == 1 else min(workers_of(None), len(files))
    elif workers == 0:
        report.say(NO_LIMIT)
    decoded = decode_all(files, space.audio, workers)
    with stdout_to_stderr(), threads_for(used.arrays):
        used.to(where)
        set_to_eval(used)  # also where it has a to() of its own
        return card, list(_predictions(stored, card, used, space, decoded, batch_size, where))


def encoder_of(
    card: ProbeCard, probe: StoredProbe, encoder: str | Encoder | None, home: Path, report: Reporter
) -> tuple[Encoder, Space]:
    """Return the encoder that a probe was trained on, and its space.

    Raises:
        UserError: It is not to be found, or not the same: in its fingerprint, or in how it is fed.
    """
    wanted = card.encoder
    if "audio" not in wanted.space:
        raise UserError(
            f"the probe was trained on embeddings that were given ({wanted.id}): how they were made of audio is not "
            "known, so it cannot be used on audio files. probe.onnx takes such embeddings"
        )
    used = encoder if isinstance(encoder, Encoder) else _named(encoder or wanted.text, encoder is None, home)
    if wanted.precision is not None:
        used = used.with_precision(wanted.precision)
    if wanted.window_seconds is not None:
        used = used.for_window(wanted.window_seconds)
    space = space_of(used, wanted.window_seconds, wanted.hop_seconds)
    if space.fingerprint != wanted.fingerprint:
        raise UserError(
            f"the encoder {used.name!r} (version {space.version}) is not the {wanted.id!r} (version {wanted.version}) "
            f"that the probe was trained on: its fingerprint is {space.fingerprint[:12]}, not "
            f"{wanted.fingerprint[:12]}. Name that one with --encoder, or train the probe again with 'bench run'"
        )
    if space.key != wanted.space.get("key"):
        mine = json.loads(json.dumps(space.describe()))
        differ = [name for name in mine if name not in ("key", "encoder") and mine[name] != wanted.space.get(name)]
        if differ != ["pipeline"]:
            what = ", ".join(differ) or "an unknown part"
            raise UserError(
                f"the encoder {used.name!r} is fed in another way than when the probe was trained ({what}): train the "
                "probe again with 'bench run'"
            )
        report.say(
            f"The probe was trained on audio that was decoded by {wanted.space.get('pipeline')}; here it is "
            f"{space.pipeline}. Outputs may differ slightly."
        )
    layer = wanted.layer
    given = space.width if layer is None else space.dim
    if given != probe.width or (layer is not None and layer >= len(space.layers or ())):
        raise UserError(
            f"the probe takes {probe.width} numbers{'' if layer is None else f' of layer {layer}'}, which the encoder "
            f"{used.name!r} does not give: it gives {space.width}"
        )
    return used, space


def _named(text: str, recorded: bool, home: Path) -> Encoder:
    try:
        return resolve_one(text, home)
    except UnknownEncoderError as error:
        if not recorded:
            raise
        raise UserError(f"{error}\nThe probe says that it was trained on {text!r}: name it with --encoder") from None


def _predictions(
    probe: StoredProbe,
    card: ProbeCard,
    encoder: Encoder,
    space: Space,
    decoded: Iterator[Decoded],
    batch_size: int,
    device: str,
) -> Iterator[Prediction]:
    layer = card.encoder.layer
    taken = slice(None) if layer is None else slice(layer * space.dim, (layer + 1) * space.dim)
    encoding = BatchEncoding(encoder, space.width, batch_size, device)
    for one in decoded:
        if one.audio is None:
            yield Prediction(one.path, None, one.seconds_recovered, problem=one.problem)
            continue
        audio = one.audio
        try:
            windows = cut(audio.samples, space.windows)
            embedding = encoding.embed([Heard(one.path.name, one.path, windows)])[0]
        except TooShortError as error:
            yield Prediction(one.path, None, audio.seconds, audio.clipped, f"too short: {error}")
        except UserError as error:
            yield Prediction(one.path, None, audio.seconds, audio.clipped, str(error))
        else:
            outputs = probe.predict(embedding[None, taken])[0]
            if np.isfinite(outputs).all():
                yield Prediction(one.path, outputs, audio.seconds, audio.clipped)
            else:
                problem = "its embedding is of an extreme scale, and the probe's outputs are not finite"
                yield Prediction(one.path, None, audio.seconds, audio.clipped, problem)


def ranked(card: ProbeCard, outputs: np.ndarray, top_k: int | None) -> list[tuple[str, float]]:
    """Return labels with their probabilities, the most probable first; targets of a regression in their own order."""
    pairs = [(label, float(value)) for label, value in zip(card.labels, outputs, strict=True)]
    if not KINDS[card.kind].has_labels:
        return pairs
    return sorted(pairs, key=lambda pair: -pair[1])[: KINDS[card.kind].shown if top_k is None else top_k]


def format_prediction(card: ProbeCard, prediction: Prediction, top_k: int | None) -> str:
    """Return the lines that a person reads of one file."""
    assert prediction.outputs is not None
    minutes, seconds = divmod(round(prediction.seconds), 60)
    lines = [f"{_plain(str(prediction.path))} ({minutes}:{seconds:02d}{', clipped' if prediction.clipped else ''})"]
    found = ranked(card, prediction.outputs, top_k)
    width = max((len(_plain(label)) for label, _ in found), default=0)
    lines += [
        f"  {value:5.1%}  {_plain(label)}"
        if KINDS[card.kind].has_labels
        else f"  {_plain(label):<{width}}  {value:.3f}"
        for label, value in found
    ]
    return "\n".join(lines)


def as_data(card: ProbeCard, found: Sequence[Prediction], top_k: int | None) -> dict[str, object]:
    """Return predictions as JSON can hold them: all outputs by label, or the ``top_k`` most probable ones."""
    files: list[dict[str, object]] = []
    for one in found:
        data: dict[str, object] = {"file": str(one.path), "seconds": round(one.seconds, 3), "clipped": one.clipped}
        if one.outputs is None:
            data["problem"] = one.problem
        else:
            data["outputs"] = dict(ranked(card, one.outputs, len(card.labels) if top_k is None else top_k))
        files.append(data)
    return {"task": card.task.id, "kind": card.kind, "encoder": card.encoder.id, "files": files}


def _plain(text: str) -> str:
    """Return ``text`` without what steers a terminal: labels and file names come from strangers."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
