"""ONNX files as encoders: ``onnx:model.onnx?sample_rate=16000&window=3``, run by onnxruntime."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.packaged.common import existing_file, name_of
from benchmark.encoders.packaged.model_file import LAYOUTS, OPTIONS, Layout, ModelFile, arranged
from benchmark.encoders.packaged.onnx_files import files_of_weights
from benchmark.encoders.spec import EncoderSpec
from benchmark.errors import UserError
from benchmark.system.extras import install_command
from benchmark.system.files import content_hash

CUDA = "CUDAExecutionProvider"


class OnnxModel(ModelFile):
    """An ONNX model from waveforms to embeddings.

    Attributes:
        input_name: The input that takes the waveforms.
        output_name: The output that is the embedding.
    """

    not_in_fingerprint = (*ModelFile.not_in_fingerprint, "_session", "_file", "_device")

    def __init__(self, spec: EncoderSpec, file: Path) -> None:
        """Open the model, and try it.

        Raises:
            UserError: It is no ONNX model, takes or gives what an encoder does not, or the options do not fit it.
        """
        super().__init__(spec, _digest(file))
        self.name = name_of(spec, file.name)
        self._file, self._device = file, "cpu"
        self._session = _session(spec, file, "cpu")
        given = _named(spec, self._session.get_inputs(), "input")
        self.input_name = given.name
        if given.type != "tensor(float)":
            raise UserError(
                f"the encoder {spec.text!r} takes {given.type}, not float32", "export it with an input of float32"
            )
        self.output_name = _named(spec, self._session.get_outputs(), "output").name
        layouts, batch, channels, samples = _shape(spec, given.shape)
        if channels is not None:
            if "channels" in spec.options and self.channels != channels:
                raise UserError(
                    f"the encoder {spec.text!r} takes {channels} channel(s), not {self.channels}",
                    f"say channels={channels}",
                )
            self.channels = 2 if channels == 2 else 1
        self.set_windows(spec, samples)
        import onnxruntime

        self.arrays = "torch" if CUDA in onnxruntime.get_available_providers() else "numpy"
        self.settle(spec, self._call, layouts, batch)

    def fingerprint(self) -> str:
        """Return the sha256 of what decides an embedding; not of whether this machine could use a GPU."""
        stand_in = copy.copy(self)
        stand_in.arrays = "numpy"
        return Encoder.fingerprint(stand_in)

    def to(self, device: str) -> None:
        """Run on ``device``: the CPU, or a GPU where onnxruntime was built for it.

        Raises:
            UserError: onnxruntime cannot use it.
        """
        if device != self._device:
            self._session = _session(None, self._file, device)
            self._device = device

    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, C, N] as [B, D], or [B, T, D] where the model gives frames."""
        array = waveforms if isinstance(waveforms, np.ndarray) else waveforms.cpu().numpy()
        array = np.ascontiguousarray(arranged(array, self.layout))
        if not self.one_by_one:
            return self.oriented(self._call(array))
        return self.oriented(np.concatenate([self._call(array[i : i + 1]) for i in range(len(array))]))

    def _call(self, array: np.ndarray) -> np.ndarray:
        answer = self._session.run([self.output_name], {self.input_name: np.ascontiguousarray(array)})[0]
        return np.asarray(answer)


def open_onnx(spec: EncoderSpec, home: Path) -> Encoder:  # noqa: ARG001 - one signature for all kinds
    """Return the encoder of an ONNX file.

    Options: ``sample_rate`` (needed), ``window`` (seconds or ``track``; needed unless the model has one length),
    ``hop``, ``minimum``, ``channels``, ``input``, ``output``, ``layout`` (bn, bcn, bnc), ``frames`` (middle, last).

    Raises:
        UserError: onnxruntime is not installed, the file is no such model, or the options do not fit it.
    """
    spec.check_options((*OPTIONS, "input", "output"))
    file = existing_file(spec, spec.target, "ONNX file")
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the encoder {spec.text!r} needs onnxruntime ({error})",
            f"Install it:\n  {install_command('onnx')}",
        ) from None
    return OnnxModel(spec, file)


def _session(spec: EncoderSpec | None, file: Path, device: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about its own graph passes
    # Spinning threads would take the cores from the processes that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        kind, _, index = device.partition(":")
        if kind != "cuda" or CUDA not in onnxruntime.get_available_providers():
            raise UserError(f"onnxruntime cannot use {device!r} here", "install onnxruntime-gpu, or use --device cpu")
        providers.insert(0, (CUDA, {"device_id": index or "0", "use_tf32": "0"}))
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # its exceptions have no common class of their own
        reason = str(error).strip().splitlines()[0]
        what = spec.text if spec else file.name
        raise UserError(
            f"{file} cannot be opened as the ONNX model {what!r}: {reason}", "Export or download it again"
        ) from error
    if device != "cpu" and session.get_providers()[0] != CUDA:  # it falls back to the CPU with a mere warning
        raise UserError(f"onnxruntime found a GPU but could not start on it ({device})", "use --device cpu")
    return session


def _named(spec: EncoderSpec, candidates: list[Any], what: str) -> Any:
    """Return the input or output that the user named, or the only one."""
    listed = ", ".join(f"{node.name} {node.shape}" for node in candidates)
    wanted = spec.options.get(what)
    if what == "input" and len(candidates) > 1 and wanted is None:
        raise UserError(
            f"the encoder {spec.text!r} has several inputs: {listed}",
            "Export it with one, which takes the waveform",
        )
    if wanted is None and len(candidates) > 1:
        raise UserError(f"the encoder {spec.text!r} has several outputs", f"choose with output=NAME among {listed}")
    chosen = next((node for node in candidates if wanted in (None, node.name)), None)
    if chosen is None:
        raise UserError(f"the encoder {spec.text!r} has no {what} {wanted!r}", f"choose among {listed}")
    if what == "input" and len(candidates) > 1:
        rest = ", ".join(node.name for node in candidates if node is not chosen)
        raise UserError(f"the encoder {spec.text!r} wants {rest} beside the waveform", "export it without")
    return chosen


def _shape(spec: EncoderSpec, shape: list[Any] | None) -> tuple[tuple[Layout, ...], int | None, int | None, int | None]:
    """Return the possible layouts, and the batch, channels and samples that an input shape fixes."""
    if not shape:  # unknown, or a scalar: calls will tell
        return (*LAYOUTS[2], *LAYOUTS[3]), None, None, None
    layouts = LAYOUTS.get(len(shape))
    if layouts is None:
        raise UserError(
            f"the encoder {spec.text!r} takes {shape}: an encoder takes waveforms [batch, samples] or [batch, "
            "channels, samples]",
            "Export it with its front end",
        )
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    if sizes[0] not in (None, 1):
        raise UserError(
            f"the encoder {spec.text!r} takes batches of exactly {sizes[0]}",
            "export it with a dynamic batch or 1",
        )
    if len(sizes) == 2:
        return layouts, sizes[0], None, sizes[1]
    if (layout := spec.options.get("layout")) in ("bcn", "bnc"):
        layouts = ("bcn",) if layout == "bcn" else ("bnc",)
    elif sizes[1] in (1, 2):
        layouts = ("bcn",)
    elif sizes[2] in (1, 2):
        layouts = ("bnc",)
    if len(layouts) > 1:  # which axis is samples cannot be told
        layouts = ("bcn",)
    channels, samples = (sizes[1], sizes[2]) if layouts == ("bcn",) else (sizes[2], sizes[1])
    if channels not in (None, 1, 2):
        raise UserError(
            f"the encoder {spec.text!r} takes {shape}, which is neither mono nor stereo waveforms",
            "export it so that it takes one or two channels",
        )
    return layouts, sizes[0], channels, samples


def _digest(file: Path) -> str:
    """Return the sha256 of a model file, and of the files that it names as holders of its weights."""
    beside = {path.relative_to(file.parent).as_posix(): content_hash(path) for path in files_of_weights(file)}
    return _combined(content_hash(file), beside)


def _combined(own: str, beside: Mapping[str, str]) -> str:
    if not beside:
        return own
    return hashlib.sha256("".join([own, *(f"{name} {digest}" for name, digest in beside.items())]).encode()).hexdigest()
