"""TorchScript files as encoders: ``torchscript:model.pt?sample_rate=16000&window=3&trust=1``.

Such a file holds its graph, so it needs none of the author's code. But that graph is a program, and a part of it runs
while the file is opened (``__setstate__``): it can write and read files. So the user has to say that it is trusted. A
checkpoint is weights alone, or a pickle that runs code when it is loaded, and is refused. So are exported programs,
whose reader unpickles.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.packaged.common import existing_file, name_of
from benchmark.encoders.packaged.model_file import LAYOUTS, OPTIONS, ModelFile, arranged
from benchmark.encoders.spec import EncoderSpec
from benchmark.encoders.trust import IS_CODE
from benchmark.errors import UserError
from benchmark.system.files import content_hash

#: How files of torch.export.save end, and what they have in them.
EXPORTED, EXPORTED_PART = ".pt2", "archive_format"


class TorchScriptModel(ModelFile):
    """A TorchScript model, from waveforms to embeddings."""

    not_in_fingerprint = (*ModelFile.not_in_fingerprint, "_model")

    def __init__(self, spec: EncoderSpec, file: Path) -> None:
        """Open the model, and try it.

        Raises:
            UserError: It is no such model, takes or gives what an encoder does not, or the options do not fit it.
        """
        super().__init__(spec, content_hash(file))
        self.name = name_of(spec, file.name, ("trust",))
        self._model: Any = _scripted(file)
        self.set_windows(spec, None)
        self.settle(spec, self._on_cpu, (*LAYOUTS[2], *LAYOUTS[3][:1]), None)

    def to(self, device: str) -> None:
        """Move the model to ``device``."""
        self._model = self._model.to(device)

    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, C, N] as [B, D], or [B, T, D] where the model gives frames."""
        import torch

        batch = arranged(waveforms, self.layout).contiguous()
        with torch.inference_mode():
            if not self.one_by_one:
                return self.oriented(_tensor(self._model(batch)))
            return self.oriented(torch.cat([_tensor(self._model(batch[i : i + 1])) for i in range(len(batch))]))

    def _on_cpu(self, array: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            answer = _tensor(self._model(torch.from_numpy(np.ascontiguousarray(array))))
            return (answer.float() if answer.is_floating_point() else answer).numpy()


def open_torchscript(spec: EncoderSpec, home: Path) -> Encoder:  # noqa: ARG001 - one signature for all kinds
    """Return the encoder of a TorchScript file.

    Options: ``sample_rate`` and ``window`` (seconds or ``track``), both needed; ``hop``, ``minimum``, ``channels``,
    ``layout`` (bn, bcn), ``frames`` (middle, last); ``trust=1`` says that the file may run.

    Raises:
        UserError: The file is no such model, is not trusted, or the options do not fit it.
    """
    spec.check_options((*OPTIONS, "trust"))
    file = existing_file(spec, spec.target, "TorchScript file")
    _refuse_pickles(file)
    if not spec.option("trust", bool, default=False):
        raise UserError(
            f"{file} is a TorchScript file, and opening it already runs a part of it: {IS_CODE}",
            f"If you trust where it comes from, say so with trust=1, as {spec.text}?trust=1; or export the model to "
            "ONNX, which is data",
        )
    return TorchScriptModel(spec, file)


def _scripted(file: Path) -> Any:
    import torch

    try:
        return torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{file} is no TorchScript model ({reason})", "write one with torch.jit.script(model).save"
        ) from error


def _refuse_pickles(file: Path) -> None:
    """Refuse what torch.export.save and torch.save write: the latter an archive with a pickle and no code, or a pickle.

    ``torch.jit.load`` reads the pickle of an archive with code by a reader of its own, which knows tensors, plain
    values and the classes of that code, and nothing of Python.
    """
    parts: list[str] = []
    try:
        with zipfile.ZipFile(file) as archive:
            parts += [name.partition("/")[2] for name in archive.namelist()]
        is_checkpoint = "data.pkl" in parts and not any(name.startswith("code/") for name in parts)
    except zipfile.BadZipFile:
        with file.open("rb") as stream:
            is_checkpoint = stream.read(1) == b"\x80"  # how a pickle begins
    if file.suffix.lower() == EXPORTED or EXPORTED_PART in parts:
        raise UserError(
            f"{file} is an exported program (torch.export), whose reader unpickles, which could run any code "
            f"({IS_CODE})",
            "export the model to ONNX (torch.onnx.export) and name it as onnx:FILE, or write it with "
            "torch.jit.script(model).save",
        )
    if is_checkpoint:
        raise UserError(
            f"{file} is a checkpoint (a pickle), not a TorchScript model: it holds weights without the network, and "
            f"loading it could run any code ({IS_CODE})",
            "Write the model with torch.jit.script(model).save, or a plug-in that builds the network and reads the "
            "weights with torch.load(..., weights_only=True)",
        )


def _tensor(answer: Any) -> Any:
    """Return the only tensor of an answer.

    Raises:
        ValueError: It holds several.
    """
    while isinstance(answer, tuple | list) and len(answer) == 1:
        answer = answer[0]
    if not hasattr(answer, "detach"):
        raise ValueError(f"it answers a {type(answer).__name__}, not one tensor: export a model that returns only that")
    return answer
