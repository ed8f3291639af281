"""Hugging Face audio models as encoders: options, layers, pooling, and windows in one call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from benchmark.encoders.base import DECLARED, Encoder, WeightsFound
from benchmark.encoders.declarations import check_rate
from benchmark.encoders.fingerprint import plain
from benchmark.encoders.packaged.common import name_of, printing_aside, windows_of
from benchmark.encoders.packaged.hidden_layers import Stack, captured_layers, check_layer_outputs, find_stack
from benchmark.encoders.spec import EncoderSpec
from benchmark.errors import UserError

Pool = Literal["mean", "max", "mean_std"]

#: Audio that goes through a network together: on a CPU a few windows, on a GPU what half of its free memory holds, at
#: a generous size for the activations of a second (the first convolution of wav2vec2-large, four times over).
CPU_SECONDS, SECOND_BYTES = 30.0, 64 * 2**20


@dataclass(frozen=True)
class Loaded:
    """A model from the hub or a folder.

    Attributes:
        model: The torch module in float32 and evaluation mode.
        config: Its configuration.
        extractor: Its feature extractor, ``None`` where the repository has none.
        target: What people call it: the hub id, or the folder's name.
        version: The hub's commit, or the weights' digest.
        content: sha256 of weights, configurations, remote code, and the version of transformers.
        remote: Whether its code came with it.
        unused: Tensors of its files that it does not use.
        lacking: Tensors of it that no file holds: only training uses them, or it computes them when it is built.
        beyond: Those of ``unused`` that are named like layers of it, but for their number.
    """

    model: Any
    config: Any
    extractor: Any
    target: str
    version: str
    content: str
    remote: bool
    unused: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


class HuggingFace(Encoder):
    """An audio model of the Hugging Face hub."""

    notes: ClassVar[tuple[str, ...]] = (
        "float32, evaluation mode; weights are only read as safetensors or with weights_only=True.",
        "The fingerprint is of the weights, the model's and the extractor's configuration, remote code, and "
        "transformers' major and minor version; the hub's commit is the version.",
        "Layer 0 is the input of the first layer; the last is the encoder's output, after its final norm.",
    )

    #: Window where the user gives none, and the shortest input that gives a frame or two.
    usual_seconds: ClassVar[float | None] = 10.0
    shortest_seconds: float = 0.1
    #: Path of the list of layers; ``None`` where the embedding has no layers to choose from.
    layers_at: str | None = None
    has_layers: ClassVar[bool] = True
    #: Whether a shorter window costs as much as the longest.
    pads: ClassVar[bool] = False

    def __init__(self, spec: EncoderSpec, loaded: Loaded) -> None:
        """Read the options and find the layers.

        Raises:
            UserError: An option does not fit the model, or its layers are not where they should be.
        """
        self._model, self._config, self._extractor = loaded.model, loaded.config, loaded.extractor
        self._who = f"{spec.text!r}"
        self._content = loaded.content
        self.weights_found = WeightsFound(loaded.unused, loaded.lacking, loaded.beyond)
        self.name = name_of(spec, loaded.target, ("remote_code",))
        self.version = loaded.version
        self.sample_rate = self._rate(spec)
        self.maximum_seconds = self._longest()
        usual = self.usual_seconds if self.usual_seconds is not None else self.maximum_seconds
        windows = windows_of(spec, usual, self.shortest_seconds, self.maximum_seconds)
        self.window_seconds, self.hop_seconds, self.minimum_seconds = windows.seconds, windows.hop, windows.minimum
        self.pool: Pool = spec.option("pool", Literal["mean", "max", "mean_std"], "mean")
        #: Frames a second of the last input, where it has frames in time.
        self.frame_rate: float | None = None
        self._stack: Stack | None = None
        self._wanted: tuple[int, ...] = ()
        self._set_layers(spec)
        self.dim = self._width() * (2 if self.pool == "mean_std" else 1)

    def _rate(self, spec: EncoderSpec) -> int:
        """Return the sample rate of the extractor or the configuration, or of the user where neither tells."""
        own_rate = getattr(self._extractor, "sampling_rate", None) or getattr(
            self._config, "sampling_rate", getattr(self._config, "sample_rate", None)
        )
        asked_rate = spec.option("sample_rate", int)
        if own_rate is None and asked_rate is None:
            raise UserError(f"{self._who} does not give its sample rate", "give sample_rate=, such as 24000")
        if None not in (own_rate, asked_rate) and own_rate != asked_rate:
            raise UserError(f"{self._who} takes audio at {own_rate} Hz, not {asked_rate}", "leave sample_rate out")
        rate = int(asked_rate if own_rate is None else own_rate)
        check_rate(rate, f"{self._who} has sample_rate={rate}")
        return rate

    def _longest(self) -> float | None:
        return None

    def _width(self) -> int:
        width = getattr(self._config, "hidden_size", None)
        if not isinstance(width, int):
            raise UserError(
                f"the configuration of {self._who} has no hidden_size, so its width is not known",
                "write it into its config.json",
            )
        return width

    def _set_layers(self, spec: EncoderSpec) -> None:
        layer: int | str = spec.option("layer", int | Literal["last", "all"], "last")
        if not self.has_layers:
            if layer != "last" or "layers_at" in spec.options:
                raise UserError(f"{self._who} gives one embedding, without layers to choose from", "leave layer out")
            return
        count = getattr(self._config, "num_hidden_layers", None)
        if not isinstance(count, int):
            raise UserError(
                f"the configuration of {self._who} has no num_hidden_layers, so they cannot be counted",
                "write it into its config.json, or leave layer out",
            )
        where = spec.option("layers_at", str, self.layers_at)
        self._stack = find_stack(self._model, count, where, self._who)
        if layer == "all":
            self._wanted, self.layers = tuple(range(count + 1)), tuple(str(i) for i in range(count + 1))
            return
        number = count if layer == "last" else int(layer)
        if not 0 <= number <= count:
            raise UserError(f"{self._who} has no layer {layer}", f"give one from 0 (the input of the first) to {count}")
        self._wanted = (number,)

    def facts(self) -> dict[str, object]:
        """Return what the model is, whatever of its layers is asked for."""
        layers = None if self._stack is None else len(self._stack.layers) + 1
        return {**super().facts(), "dim": self._width(), "layers": layers}

    def fingerprint(self) -> str:
        """Return the sha256 of the declarations, the model with its configurations, and the options; not of names."""
        state = {name: plain(getattr(self, name)) for name in DECLARED if name not in ("name", "version")}
        state |= {"is": self._content, "pool": self.pool, "wanted": self._wanted}
        state |= {"at": self._stack.where if self._stack else None}
        return hashlib.sha256(json.dumps(state, sort_keys=True, default=list).encode()).hexdigest()

    def to(self, device: str) -> None:
        """Move the model to ``device``."""
        self._model = self._model.to(device).eval()

    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, channels, N] as [B, D], or [B, L, D] with all layers."""
        import torch

        seconds = (self.maximum_seconds if self.pads else None) or waveforms.shape[-1] / self.sample_rate
        blocks = torch.split(waveforms, windows_at_once(str(waveforms.device), seconds))
        with torch.inference_mode(), printing_aside():
            return torch.cat([self._embed(block) for block in blocks])

    def _embed(self, waveforms: Any) -> Any:
        import torch

        inputs, audible = self.inputs(waveforms), self.audible(waveforms.shape[-1])
        seconds = waveforms.shape[-1] / self.sample_rate
        if self._stack is None:
            frames = self.answer(inputs)
            self.frame_rate = frames.shape[1] / seconds if frames.ndim == 3 else None
            return self.pooled(frames)
        width = self._width()

        def keep(hidden: Any) -> Any:
            if hidden.shape[2] != width:
                raise UserError(
                    f"a layer of {self._who} is {hidden.shape[2]} wide, but its configuration says {width}",
                    "name the right layers with layers_at=PATH",
                )
            heard = self.heard(hidden, audible)
            self.frame_rate = heard.shape[1] / seconds
            return self.pooled(heard)

        with captured_layers(self._stack, self._wanted, keep) as outputs:
            self.answer(inputs)
        check_layer_outputs(outputs, self._stack, self._who)
        if self.layers is None:
            return outputs.values[self._wanted[0]]
        return torch.stack([outputs.values[number] for number in self._wanted], dim=1)

    def inputs(self, waveforms: Any) -> Mapping[str, Any]:
        """Return the model's inputs for waveforms [B, channels, N], on their device."""
        raise NotImplementedError

    def audible(self, samples: int) -> int | None:  # noqa: ARG002 - the families' own
        """Return how many of the model's time frames hold audio; ``None`` where all do."""
        return None

    def heard(self, hidden: Any, audible: int | None) -> Any:
        """Return the frames [B, T, D] of hidden states that hold audio."""
        return hidden if audible is None else hidden[:, :audible]

    def answer(self, inputs: Mapping[str, Any]) -> Any:
        """Run the model; without layers, return frames [B, T, D] or embeddings [B, D]."""
        return self._model(**inputs)

    def pooled(self, frames: Any) -> Any:
        """Return frames [B, T, D] as [B, D] or, with their deviations, [B, 2 D]."""
        import torch

        if frames.ndim == 2:
            return frames
        if self.pool == "max":
            return frames.amax(dim=1)
        mean = frames.mean(dim=1)
        return mean if self.pool == "mean" else torch.cat([mean, frames.std(dim=1, correction=0)], dim=1)

    def extracted(self, waveforms: Any, **options: Any) -> Any:
        """Return what the model's own feature extractor makes of mono windows, on the CPU as it does."""
        windows = list(waveforms[:, 0].cpu().numpy())
        return self._extractor(windows, sampling_rate=self.sample_rate, return_tensors="pt", **options)


def windows_at_once(device: str, seconds: float) -> int:
    """Return how many windows of ``seconds`` go through a network together on ``device``."""
    if not device.startswith("cuda"):
        return max(1, int(CPU_SECONDS / seconds))
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(free / 2 / (SECOND_BYTES * seconds)))
