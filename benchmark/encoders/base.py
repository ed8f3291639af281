"""The encoder contract: what a plug-in declares, and the one method it must have.

The harness owns decoding, mixing, resampling, windows, batches, pooling over windows, finite checks and the store.
An encoder owns arrays only, so a plug-in is ten lines::

    class Mine(Encoder):
        name, version, sample_rate, dim = "mine", "1", 16000, 2

        def embed(self, waveforms):
            return torch.stack([waveforms.abs().mean((1, 2)), waveforms.std((1, 2))], dim=1)
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar, Literal

import numpy as np

from benchmark.audio import content_hash
from benchmark.errors import UserError

Padding = Literal["repeat", "zero", "refuse"]
Precision = Literal["fp32", "bf16"]

DECLARED = (
    "name",
    "version",
    "sample_rate",
    "channels",
    "window_seconds",
    "hop_seconds",
    "minimum_seconds",
    "maximum_seconds",
    "padding",
    "dim",
    "layers",
    "decoding",
    "arrays",
)


class Encoder:
    """A frozen encoder: declarations and :meth:`embed`.

    Attributes:
        name: The encoder's id in records and leaderboards.
        version: Changed by its author whenever the embeddings change.
        sample_rate: Hz of the waveforms it takes.
        channels: 1 (mono, the mean over a file's channels) or 2 (stereo; a mono file gives two equal channels).
        window_seconds: Length of a window; ``None`` hands over the whole track.
        hop_seconds: Distance between the starts of consecutive windows; ``None`` means one window length.
        minimum_seconds: Shortest input taken as it is; ``None`` means one window. Shorter audio is padded up to it.
        maximum_seconds: Longest input; ``None`` means any.
        padding: What lengthens audio under the minimum: ``repeat`` it, append ``zero`` samples, or ``refuse`` it.
        dim: Width D of an embedding.
        layers: Names of the L layers when :meth:`embed` returns [B, L, D]; ``None`` otherwise.
        decoding: ``plain``, or the decoding rule that the encoder was published with.
        arrays: ``torch`` hands :meth:`embed` a tensor on the encoder's device, ``numpy`` an array.
    """

    name: str
    version: str = "0"
    sample_rate: int
    channels: Literal[1, 2] = 1
    window_seconds: float | None = 3.0
    hop_seconds: float | None = 2.0
    minimum_seconds: float | None = None
    maximum_seconds: float | None = None
    padding: Padding = "repeat"
    dim: int
    layers: tuple[str, ...] | None = None
    decoding: Literal["plain", "mule"] = "plain"
    arrays: Literal["torch", "numpy"] = "torch"

    #: Instance attributes that do not change the embeddings (a device, a counter), left out of the fingerprint.
    not_in_fingerprint: ClassVar[tuple[str, ...]] = ("device", "training")

    _source: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Now: a file that is edited later is not the code that this class runs.
        cls._source = "" if cls.__module__.startswith("benchmark.encoders.") else source_digest(cls)

    def embed(self, waveforms: Any) -> Any:  # noqa: ARG002 - the name is the contract
        """Embed a batch of equally long windows.

        Args:
            waveforms: float32 [B, channels, samples] in [-1, 1] at ``sample_rate``.

        Returns:
            Finite floats [B, dim], or [B, L, dim] with ``layers``, or [B, T, dim] (frames, averaged by the harness).
        """
        raise UserError(f"the encoder {type(self).__name__} has no embed(waveforms) method: define it")

    def to(self, device: str) -> None:
        """Move the weights to ``device`` (torch's name for it): the modules among the attributes, or the encoder."""
        if _is_module(self):
            sys.modules["torch"].nn.Module.to(self, device)
            self.eval()  # type: ignore[attr-defined]
        for value in vars(self).values():
            if _is_module(value):
                value.to(device).eval()

    def with_precision(self, precision: Precision) -> Encoder:
        """Return the encoder that computes in ``precision``.

        Raises:
            UserError: It has no choice: an encoder computes in float32 unless it says otherwise.
        """
        if precision != "fp32":
            raise UserError(f"the encoder {self.name!r} computes in fp32 only: leave --precision out")
        return self

    def for_window(self, seconds: float) -> Encoder:  # noqa: ARG002 - the name is the contract
        """Return the encoder to use when a task brings its own windows of ``seconds``: this one, by default.

        For encoders that treat such a window otherwise than a track, for instance as one single slice.
        """
        return self

    def fingerprint(self) -> str:
        """Return the sha256 of all that decides an embedding: declarations, attributes, weights and source code.

        Built-in encoders answer for their code with ``version``; for any other, the source is hashed too, so that an
        edited plug-in never meets its old embeddings.

        Raises:
            UserError: An attribute of a kind that cannot be hashed.
        """
        state: dict[str, Any] = {name: getattr(self, name) for name in DECLARED}
        attributes = vars(self)
        if _is_module(self):  # torch's own attributes of a module say no more than the module does
            state["."] = _describe(self, type(self).__name__)
            plain = vars(sys.modules["torch"].nn.Module())
            attributes = {name: value for name, value in attributes.items() if name not in plain}
        for name, value in sorted(attributes.items()):
            if name not in self.not_in_fingerprint and name not in DECLARED:
                state[f".{name}"] = _describe(value, f"{type(self).__name__}.{name}")
        text = json.dumps(state, sort_keys=True, default=list) + self._source
        return hashlib.sha256(text.encode()).hexdigest()


def source_digest(cls: type) -> str:
    """Return the sha256 of the code behind a class: its whole file, or its own bodies for a script or a notebook."""
    digest = hashlib.sha256()
    for base in cls.__mro__:
        module = base.__module__
        if base is object or module.startswith(("benchmark.", "torch.")) or module == "builtins":
            continue
        file = getattr(sys.modules.get(module), "__file__", None)
        if module != "__main__" and file and Path(file).is_file():
            digest.update(Path(file).read_bytes())
            continue
        try:
            digest.update(inspect.getsource(base).encode())
        except (OSError, TypeError, SyntaxError):
            digest.update(_bytecode(base))
    return digest.hexdigest()


def _bytecode(cls: type) -> bytes:
    members = {name: value for name, value in sorted(vars(cls).items()) if callable(value) or name[:2] != "__"}
    return json.dumps({name: _code(value) for name, value in members.items()}).encode()


def _code(value: Any) -> Any:
    """Return a member of a class, or a constant of its code, as JSON that changes when it does."""
    value = getattr(value, "__func__", value)
    if isinstance(value, property):
        return [_code(part) for part in (value.fget, value.fset)]
    code = value if isinstance(value, CodeType) else getattr(value, "__code__", None)
    if code is not None:
        defaults = [getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
        return [code.co_code.hex(), code.co_names, [_code(part) for part in (*code.co_consts, *defaults)]]
    try:
        return _describe(value, "")
    except UserError:
        return type(value).__name__


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _describe(value: Any, where: str) -> Any:
    """Return ``value`` as something that JSON can hold and that changes when ``value`` does."""
    torch = sys.modules.get("torch")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Path):
        if value.is_dir():
            files = sorted(file for file in value.rglob("*") if file.is_file())
            return [[file.relative_to(value).as_posix(), content_hash(file)] for file in files]
        return content_hash(value) if value.is_file() else str(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [str(value.dtype), list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, np.generic):
        return repr(value)
    if torch is not None and isinstance(value, torch.Tensor):
        data = value.detach().cpu().contiguous()
        raw = data.flatten().view(torch.uint8).numpy() if data.numel() else np.zeros(0, np.uint8)
        return [str(data.dtype), list(data.shape), hashlib.sha256(raw.tobytes()).hexdigest()]
    if torch is not None and isinstance(value, torch.nn.Module):
        tensors = {name: _describe(tensor, where) for name, tensor in value.state_dict().items()}
        return [repr(value), tensors]
    if torch is not None and isinstance(value, torch.dtype | torch.device):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _describe(item, where) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_describe(item, where) for item in value), key=repr)
    if isinstance(value, list | tuple):
        return [_describe(item, where) for item in value]
    raise UserError(
        f"cannot tell when {where} changes (it is a {type(value).__name__}), so its embeddings could not be cached "
        "safely: define fingerprint() in the encoder, or name the attribute in not_in_fingerprint"
    )


def window_of(encoder: Encoder) -> float:
    """Return the shortest input in seconds that ``encoder`` takes as it is (0 when any length will do)."""
    if encoder.minimum_seconds is not None:
        return encoder.minimum_seconds
    return encoder.window_seconds or 0.0
