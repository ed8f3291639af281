"""A probe on a user's own files: decode, cut and embed them as its record did, and return what it hears."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.pool import NO_LIMIT, decode_all
from benchmark.audio.reader import Decoded
from benchmark.audio.windows import TooShortError, cut
from benchmark.embeddings.batches import BatchEncoding, TrackWindows
from benchmark.embeddings.space import Space, space_of
from benchmark.encoders.base import Encoder
from benchmark.encoders.fingerprint import set_to_eval
from benchmark.encoders.registry import UnknownEncoderError, resolve_one
from benchmark.encoders.remote import device_for
from benchmark.encoders.trust import refuse_code_of_data
from benchmark.errors import UserError
from benchmark.jobs.export import find_probe
from benchmark.jobs.variants import precision_of
from benchmark.system.home import home_folder
from benchmark.system.machine import threads_for, workers_of
from benchmark.system.precision import tell_slow_bf16
from benchmark.system.progress import Reporter, Silent
from benchmark.system.stdout import stdout_to_stderr

if TYPE_CHECKING:
    from probes.export.files import ProbeCard
    from probes.function import ProbeFunction


@dataclass(frozen=True)
class Prediction:
    """What a probe says of one file, or why it says nothing.

    Attributes:
        path: The file.
        outputs: float32 [outputs], in the order of the probe's labels; ``None`` where the file cannot be used.
        seconds: Its length, or what could be decoded of it.
        clipped: Whether its samples were beyond full scale.
        problem: Why it cannot be used.
        size: Its bytes when it was read; ``None`` where it is not there.
        mtime_ns: When it was last changed, likewise.
        labels: The most probable label, or those above their thresholds; of a regression none.
        uncertainty: From 0 to 1; ``None`` of a regression, and where there is a problem.
    """

    path: Path
    outputs: np.ndarray | None
    seconds: float
    clipped: bool = False
    problem: str = ""
    size: int | None = None
    mtime_ns: int | None = None
    labels: tuple[str, ...] = ()
    uncertainty: float | None = None


@dataclass(frozen=True)
class Predictor:
    """An exported probe with the encoder that it was trained on, ready for files.

    Attributes:
        card: What is said of the probe.
        probe: Its function.
        encoder: On its device.
        space: How the encoder is fed.
        batch_size: Windows in a batch of the encoder.
        device: torch's name of the device.
        workers: Decoding processes; ``None`` takes none for one file, else as many as there are files or cores.
    """

    card: ProbeCard
    probe: ProbeFunction
    encoder: Encoder
    space: Space
    batch_size: int
    device: str
    workers: int | None

    def each(self, files: Sequence[Path]) -> Iterator[Prediction]:
        """Yield what the probe says of each file, in order, as it comes; few of them are in memory at once.

        Raises:
            UserError: No decoding process can be started.
        """
        workers = self.workers
        if workers is None:
            workers = 0 if len(files) == 1 else min(workers_of(None), len(files))
        encoding = BatchEncoding(self.encoder, self.space.width, self.batch_size, self.device)
        with threads_for(self.encoder.arrays), closing(decode_all(files, self.space.audio, workers)) as decoded:
            while True:
                with stdout_to_stderr():  # around each file alone: what is said of it is printed in between
                    file = next(decoded, None)
                    if file is None:
                        return
                    prediction = self._predict(file, encoding)
                size, mtime_ns = _stamp(file)
                yield replace(prediction, size=size, mtime_ns=mtime_ns)

    def _predict(self, file: Decoded, encoding: BatchEncoding) -> Prediction:
        if file.audio is None:
            return Prediction(file.path, None, file.seconds_recovered, problem=file.problem)
        audio, layer, dim = file.audio, self.card.encoder.layer, self.space.dim
        taken = slice(None) if layer is None else slice(layer * dim, (layer + 1) * dim)
        try:
            windows = cut(audio.samples, self.space.windows)
            embedding = encoding.embed([TrackWindows(file.path.name, file.path, windows)])[0]
        except TooShortError as error:
            return Prediction(file.path, None, audio.seconds, audio.clipped, f"too short: {error}")
        except UserError as error:
            return Prediction(file.path, None, audio.seconds, audio.clipped, str(error))
        outputs = self.probe.predict(embedding[None, taken])[0]
        if np.isfinite(outputs).all():
            return Prediction(file.path, outputs, audio.seconds, audio.clipped)
        problem = "its embedding is of an extreme scale, and the probe's outputs are not finite"
        return Prediction(file.path, None, audio.seconds, audio.clipped, problem)


def open_predictor(
    probe: Path,
    *,
    encoder: str | Encoder | None = None,
    home: Path | str | None = None,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
    report: Reporter | None = None,
) -> Predictor:
    """Return an exported probe with its encoder.

    Args:
        probe: The folder that ``bench run --export`` wrote, or one above it that holds no other.
        encoder: What names the encoder, or the encoder; as the probe says by default.
        home: Data home, where fetched weights are.
        device: ``cpu``, ``cuda``, ..., or ``auto``.
        batch_size: Windows in a batch of the encoder.
        workers: Decoding processes; by default none for one file, else as many as there are files or cores.
        report: Is told what differs from the machine that trained the probe.

    Raises:
        UserError: No probe, or an encoder that is not the one it was trained on.
    """
    from probes.export.files import ProbeFileError, load

    report = report or Silent()
    if batch_size < 1 or (workers is not None and workers < 0):
        raise UserError(f"--batch-size {batch_size} or --workers {workers} is too small", "give 1 and 0 at least")
    try:
        stored, card = load(find_probe(probe))
    except ProbeFileError as error:
        raise UserError(error.what, error.do) from None
    if encoder is None:
        refuse_code_of_data(
            card.encoder.text, f"the probe {probe}", f"bench predict FILE --probe {shlex.quote(str(probe))}"
        )
    used, space = encoder_of(card, stored, encoder, home_folder(home), report)
    where = device_for(used, device)
    if workers == 0:
        report.say(NO_LIMIT)
    if precision_of(used) == "bf16":
        tell_slow_bf16(where, report)
    with stdout_to_stderr():
        used.to(where)
        set_to_eval(used)  # also where it has a to() of its own
    return Predictor(card, stored, used, space, batch_size, where, workers)


def encoder_of(
    card: ProbeCard, probe: ProbeFunction, encoder: str | Encoder | None, home: Path, report: Reporter
) -> tuple[Encoder, Space]:
    """Return the encoder that a probe was trained on, and its space.

    Raises:
        UserError: It is not to be found, or not the same: in its fingerprint, or in how it is fed.
    """
    wanted = card.encoder
    if "audio" not in wanted.space:
        raise UserError(
            f"the probe was trained on embeddings that were given ({wanted.id}): how they were made of audio is not "
            "known, so it cannot be used on audio files",
            "Give such embeddings to its probe.onnx, or train one on an encoder: bench run -e ENCODER -t "
            f"{card.task.id} --export DIR",
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
            f"{wanted.fingerprint[:12]}",
            "Name that one with --encoder, or train the probe again with 'bench run'",
        )
    if space.key != wanted.space.get("key"):
        mine = json.loads(json.dumps(space.describe()))
        differ = [name for name in mine if name not in ("key", "encoder") and mine[name] != wanted.space.get(name)]
        if differ != ["pipeline"]:
            what = ", ".join(differ) or "an unknown part"
            raise UserError(
                f"the encoder {used.name!r} is fed in another way than when the probe was trained ({what})",
                "train the probe again with 'bench run'",
            )
        report.say(
            f"The probe was trained on audio that was decoded by {wanted.space.get('pipeline')}; here it is "
            f"{space.pipeline}. Outputs may differ slightly."
        )
    layer = wanted.layer
    given = space.width if layer is None else space.dim
    if given != probe.width or (layer is not None and layer >= len(space.layers or ())):
        raise UserError(
            f"the probe takes {probe.width} numbers{'' if layer is None else f' of layer {layer}'}, and the encoder "
            f"{used.name!r} gives {space.width}",
            "name the encoder that it was trained on with --encoder, or train the probe again with 'bench run'",
        )
    return used, space


def _named(text: str, recorded: bool, home: Path) -> Encoder:
    try:
        return resolve_one(text, home)
    except UnknownEncoderError as error:
        if not recorded:
            raise
        raise UserError(
            error.what,
            f"The probe says that it was trained on {text!r}: name it with --encoder",
        ) from None


def _stamp(file: Decoded) -> tuple[int | None, int | None]:
    """Return the size and the mtime of a file as it was read, or as it is now; nothing where it is not there."""
    if file.hashed is not None:
        return file.hashed.size, file.hashed.mtime_ns
    return stamp_of(file.path)


def stamp_of(path: Path) -> tuple[int | None, int | None]:
    """Return the size in bytes and the mtime in nanoseconds of a file; nothing where it is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None, None
    return found.st_size, found.st_mtime_ns
