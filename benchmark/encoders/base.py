"""The encoder contract: what a plug-in declares, and the one method it must have.

The harness owns decoding, mixing, resampling, windows, batches, pooling over windows, finite checks and the store.
An encoder owns arrays only, so a plug-in is ten lines::

    class Mine(Encoder):
        name, version, sample_rate, dim = "mine", "1", 16000, 2

        def embed(self, waveforms):
            return torch.stack([waveforms.abs().mean((1, 2)), waveforms.std((1, 2))], dim=1)
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from benchmark.encoders.fingerprint import describe, describe_module, is_module, modules_in, plain, source_digest
from benchmark.errors import UserError
from benchmark.system.terminal import said_by

if TYPE_CHECKING:
    from benchmark.audio.windows import Padding
    from benchmark.system.machine import Precision

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


@dataclass(frozen=True)
class WeightsFound:
    """How the tensors of an encoder's files and those of its network differ, by name.

    Attributes:
        unused: Tensors of the files that the network does not use.
        lacking: Tensors of the network that no file holds: only training uses them, or building it computes them.
        beyond: Those of ``unused`` that are named like layers of the network, but for their number.
    """

    unused: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


#: Attributes that say how an encoder was named and read.
UNCOUNTED = ("text", "card", "beside_card", "weights_found")


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
        fitted: Whether it needs statistics of a task's training split, which :meth:`fit` takes before it embeds.
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
    fitted: bool = False

    #: Sentences for people: where the encoder follows or leaves what was published.
    notes: ClassVar[tuple[str, ...]] = ()

    #: Instance attributes that do not change the embeddings (a device, a counter), left out of the fingerprint.
    not_in_fingerprint: ClassVar[tuple[str, ...]] = ("device", "training")

    #: What named it on the command line; it finds the same encoder again.
    text: str = ""

    #: The card that opened it (:class:`benchmark.encoders.cards.card.EncoderCard`), and the options given beside it.
    card: Any = None
    beside_card: tuple[str, ...] = ()

    #: What was found when its weights were read, where it can tell.
    weights_found: WeightsFound | None = None

    _source: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Now: a file that is edited later is not the code that this class runs.
        cls._source = (
            "" if cls.__module__.startswith(("benchmark.encoders.", "benchmark.pretraining.")) else source_digest(cls)
        )

    def embed(self, waveforms: Any) -> Any:  # noqa: ARG002 - the name is the contract
        """Embed a batch of equally long windows.

        Args:
            waveforms: float32 [B, channels, samples] in [-1, 1] at ``sample_rate``.

        Returns:
            Finite floats [B, dim], or [B, L, dim] with ``layers``, or [B, T, dim] (frames, averaged by the harness).
        """
        raise UserError(
            f"the encoder {type(self).__name__} has no embed(waveforms) method",
            "define it ('bench encoders new mine.py' writes an example)",
        )

    def fit(self, waveforms: Iterator[np.ndarray]) -> None:  # noqa: ARG002 - the name is the contract
        """Take statistics of a training split; only called, and then needed, with ``fitted = True``.

        A copy of the encoder is fitted for each task, on the CPU, before :meth:`to` and :meth:`embed`. Its embeddings
        are kept for this task alone, under a key of the encoder as it was *before* and of the split's ids and audio:
        equal windows in equal order must leave an equal state. Keep results in attributes; no label is given.

        Args:
            waveforms: Yields every window of every sound training track once, in the split's order: float32
                [channels, samples] in [-1, 1] at ``sample_rate``, yours to write into. Audio is decoded meanwhile, so
                take running sums and do not keep it all.
        """
        raise UserError(f"the encoder {type(self).__name__} has no fit(waveforms) method", "define it")

    def to(self, device: str) -> None:
        """Move the weights to ``device``: the modules among the attributes (in lists too), or the encoder itself."""
        if is_module(self):
            sys.modules["torch"].nn.Module.to(self, device)
            self.eval()  # type: ignore[attr-defined]
        for module in modules_in(list(vars(self).values())):
            module.to(device).eval()

    def with_precision(self, precision: Precision) -> Encoder:
        """Return the encoder that computes in ``precision``.

        Raises:
            UserError: It has no choice: an encoder computes in float32 unless it says otherwise.
        """
        if precision != "fp32":
            raise UserError(f"the encoder {self.name!r} computes in fp32 only", "leave --precision out")
        return self

    def for_window(self, seconds: float) -> Encoder:  # noqa: ARG002 - the name is the contract
        """Return the encoder to use when a task brings its own windows of ``seconds``: this one, by default.

        For encoders that treat such a window otherwise than a track, for instance as one single slice.
        """
        return self

    def facts(self) -> dict[str, object]:
        """Return what the model behind it is, by the keys of an encoder card, which is held to it."""
        return {
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "dim": self.dim,
            "layers": len(self.layers) if self.layers else None,
            "window_seconds": self.window_seconds,
            "hop_seconds": self.hop_seconds,
        }

    def fingerprint(self) -> str:
        """Return the sha256 of all that decides an embedding: declarations, attributes, weights and source code.

        Built-in encoders answer for their code with ``version``; for any other, the source is hashed too, with that of
        the user's own modules that it imports, so that an edited plug-in never meets its old embeddings. Code of
        installed packages is not: ``version`` answers for it.

        Raises:
            UserError: An attribute of a kind that cannot be hashed.
        """
        state: dict[str, Any] = {name: plain(getattr(self, name)) for name in DECLARED}
        attributes = vars(self)
        if is_module(self):  # torch's own attributes of a module say no more than the module does
            state["."] = describe_module(self, type(self).__name__, self.not_in_fingerprint, itself=False)
            common = vars(sys.modules["torch"].nn.Module())
            attributes = {name: value for name, value in attributes.items() if name not in common}
        for name, value in sorted(attributes.items()):
            if name not in (*self.not_in_fingerprint, *DECLARED, *UNCOUNTED):
                where = f"{type(self).__name__}.{name}"
                part = is_module(value)
                state[f".{name}"] = (
                    describe_module(value, where, self.not_in_fingerprint) if part else describe(value, where)
                )
        text = json.dumps(state, sort_keys=True, default=list) + self._source
        return hashlib.sha256(text.encode()).hexdigest()


def window_of(encoder: Encoder) -> float:
    """Return the shortest input in seconds that ``encoder`` takes as it is (0 when any length will do)."""
    if encoder.minimum_seconds is not None:
        return encoder.minimum_seconds
    return encoder.window_seconds or 0.0


def copy_of(encoder: Encoder) -> Encoder:
    """Return a copy of an encoder, so that the fit of one task reaches no other.

    Raises:
        UserError: It cannot be copied.
    """
    try:
        return copy.deepcopy(encoder)
    except Exception as error:
        raise UserError(
            f"the encoder {encoder.name!r} is fitted for each task and cannot be copied ({said_by(error)})",
            "define __deepcopy__, or load what cannot be copied in fit()",
        ) from error
