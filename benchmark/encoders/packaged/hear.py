"""Modules with the HEAR functions as encoders: ``hear:module[@weights]``.

The interface of the HEAR 2021 challenge (https://hearbenchmark.com/hear-api.html): ``load_model(path)`` gives a model
with ``sample_rate``, ``scene_embedding_size`` and ``timestamp_embedding_size``; ``get_scene_embeddings(audio, model)``
gives [n, size], ``get_timestamp_embeddings(audio, model)`` gives [n, frames, size] and their times. Audio is mono
[n, samples] in [-1, 1]. Its validator admits five sample rates; here any will do.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from benchmark.encoders.base import DECLARED, Encoder
from benchmark.encoders.declarations import check_rate
from benchmark.encoders.fingerprint import describe, describe_module, is_module, own_files, plain
from benchmark.encoders.neighbours import importable
from benchmark.encoders.packaged.common import WINDOW_OPTIONS, existing_file, name_of, printing_aside, windows_of
from benchmark.encoders.spec import EncoderSpec
from benchmark.errors import UserError
from benchmark.system.terminal import said_by
from tasks.files import expanded

WINDOW_SECONDS = 10.0  # where the user says nothing: clips of the challenge are mostly shorter
MINIMUM_SECONDS = 1.0  # the validator of the challenge tries nothing shorter

Kind = Literal["scene", "timestamps"]


class Hear(Encoder):
    """A module with the HEAR functions.

    Attributes:
        embedding: ``scene``, or ``timestamps`` (averaged over them).
    """

    hop_seconds = None
    notes = (
        "Scene embeddings, or timestamp embeddings averaged over time where the module has no others or "
        "embedding=timestamps says so.",
        "Windows of 10 s where window= says nothing else; the challenge handed over whole clips (window=track).",
    )

    def __init__(self, spec: EncoderSpec, module: ModuleType, weights: Path | None, folder: str) -> None:
        """Load the model of an imported module.

        Raises:
            UserError: The module or its model lacks what HEAR asks of it, or the model cannot be loaded.
        """
        self._module, self._folder = module, folder
        self._text = spec.text
        self.embedding = _embedding(spec, module)
        self._model = self._load(weights)
        self.sample_rate = self._number("sample_rate")
        scene = self.embedding == "scene"
        self.dim = self._number("scene_embedding_size" if scene else "timestamp_embedding_size")
        windows = windows_of(spec, WINDOW_SECONDS, MINIMUM_SECONDS)
        self.window_seconds, self.hop_seconds, self.minimum_seconds = windows.seconds, windows.hop, windows.minimum
        self.name = name_of(spec, spec.target + (f"@{weights.name}" if weights else ""))
        self.version = _version(module)
        self._content = self._digest(weights)

    def _load(self, weights: Path | None) -> Any:
        arguments = () if weights is None else (str(weights),)
        try:
            with printing_aside(), importable(self._folder):
                model = self._module.load_model(*arguments)
        except Exception as error:  # whatever the module does
            hint = "" if weights else f"where it needs weights, name them as {self._text}@PATH"
            raise UserError(
                f"load_model of {self._text!r} raised {said_by(error)}",
                hint or "mend the module, or name other weights behind the @",
            ) from error
        if not is_module(model) and any("tensorflow" in base.__module__ for base in type(model).__mro__):
            raise UserError(
                f"{self._text!r} gives a TensorFlow model, and this benchmark runs torch",
                "write a plug-in ('bench encoders new')",
            )
        return model.eval() if is_module(model) else model

    def _number(self, name: str) -> int:
        value = getattr(self._model, name, None)
        try:
            number = int(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = 0
        if number < 1 or number != value:
            raise UserError(
                f"the model of {self._text!r} has {name} = {value!r}",
                "make it a whole number above 0, as HEAR wants",
            )
        if name == "sample_rate":
            check_rate(number, f"the model of {self._text!r} has sample_rate = {number}")
        return number

    def _digest(self, weights: Path | None) -> str:
        """Return the sha256 of the module's source, of the user's modules that it imports, of weights and model."""
        files = own_files(self._module) or [Path(str(self._module.__file__))]
        sources = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        model = describe_module(self._model, self._text) if is_module(self._model) else type(self._model).__name__
        state = [sources, describe(weights, self._text), model]
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()

    def fingerprint(self) -> str:
        """Return the sha256 of the declarations, the module's source, and the model with its weights as loaded."""
        state = {name: plain(getattr(self, name)) for name in DECLARED} | {
            "is": self._content,
            "embedding": self.embedding,
        }
        return hashlib.sha256(json.dumps(state, sort_keys=True, default=list).encode()).hexdigest()

    def to(self, device: str) -> None:
        """Move the model to ``device``; the module itself must not."""
        if is_module(self._model):
            self._model = self._model.to(device).eval()

    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, 1, N] as [B, D], or as [B, T, D] from timestamps."""
        audio = waveforms[:, 0]
        with printing_aside(), importable(self._folder):
            if self.embedding == "scene":
                return self._module.get_scene_embeddings(audio, self._model)
            answer = self._module.get_timestamp_embeddings(audio, self._model)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise UserError(
                f"get_timestamp_embeddings of {self._text!r} returned a {type(answer).__name__}",
                "return the embeddings and their timestamps, as HEAR wants",
            )
        return answer[0]


def open_hear(spec: EncoderSpec, home: Path) -> Encoder:  # noqa: ARG001 - one signature for all kinds
    """Return the encoder of a module with the HEAR functions; it may lie in the current folder.

    Options: ``embedding`` (scene, timestamps), ``window`` (seconds or ``track``), ``hop``, ``minimum``.

    Raises:
        UserError: The module cannot be imported, lacks what HEAR asks of it, or its weights are not there.
    """
    spec.check_options((*WINDOW_OPTIONS, "embedding"))
    weights = _weights(spec)
    folder = str(Path.cwd())
    try:
        with printing_aside(), importable(folder, spec.target):
            module = importlib.import_module(spec.target)
    except Exception as error:  # whatever the module does when it is imported
        raise UserError(
            f"cannot import the HEAR module {spec.target!r}: {said_by(error)}",
            "Install it, or run the command in the folder that holds it",
        ) from error
    return Hear(spec, module, weights, folder)


def _weights(spec: EncoderSpec) -> Path | None:
    if spec.weights is None:
        return None
    folder = expanded(spec.weights)
    return folder if folder.is_dir() else existing_file(spec, spec.weights, "weights")


def _embedding(spec: EncoderSpec, module: ModuleType) -> Kind:
    """Return what to ask the module for."""
    functions: dict[Kind, str] = {"scene": "get_scene_embeddings", "timestamps": "get_timestamp_embeddings"}
    there = [kind for kind, name in functions.items() if callable(getattr(module, name, None))]
    if not callable(getattr(module, "load_model", None)) or not there:
        raise UserError(
            f"the module {spec.target!r} is no HEAR module",
            "give it load_model, and get_scene_embeddings or get_timestamp_embeddings",
        )
    kind: Kind = spec.option("embedding", Literal["scene", "timestamps"], there[0])
    if kind not in there:
        raise UserError(f"the module {spec.target!r} has no {functions[kind]}", f"leave embedding={kind} out")
    return kind


def _version(module: ModuleType) -> str:
    """Return the version of an installed module's package, else of the module, else ``0``."""
    top = module.__name__.partition(".")[0]
    for package in metadata.packages_distributions().get(top, []):
        return metadata.version(package)
    return str(getattr(module, "__version__", None) or "0")
