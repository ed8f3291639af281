"""``pretrained:RUN`` and ``pretrained:RUN@STEP``: what ``bench pretrain`` trained, as an encoder.

A network of log-mels has the pipeline of musicset-ularge (:mod:`benchmark.encoders.published.mule`), which the
training's log-mels came from too: slices of 3 s every 2 s, averaged over the track. A network of waveforms takes
windows of the length that the table of networks says, decoded by the same rule.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from benchmark.encoders.base import Encoder
from benchmark.encoders.published.mule.encoder import Mule
from benchmark.encoders.published.mule.folding import fold
from benchmark.encoders.published.mule.frontend import SAMPLE_RATE
from benchmark.encoders.published.mule.network import SlowFastNFNet
from benchmark.encoders.spec import EncoderSpec
from benchmark.pretraining.data.features import refuse_other_front_end
from benchmark.pretraining.networks.files import weights_digest
from benchmark.pretraining.networks.table import NETWORKS
from benchmark.pretraining.runs import folder_of, frontend_of
from benchmark.pretraining.training.export import read_run
from benchmark.system.progress import Silent
from tasks.files import resolved


class Pretrained(Mule):
    """A network of the SF-NFNet family that was trained here; its run's card.json states data and licence."""

    notes: ClassVar[tuple[str, ...]] = (  # type: ignore[assignment]
        "Trained by bench pretrain; the card.json of the run states recipe, data, steps and licence.",
        "Decoding, log-mels, slices of 3 s every 2 s and their mean are those of musicset-ularge.",
    )

    def __init__(self, network: SlowFastNFNet, name: str) -> None:
        """Take a network in evaluation mode.

        Args:
            network: It is not changed; nor may it be, from now on.
            name: The encoder's name in records.
        """
        self.name, self.dim = name, network.config.dim
        self.precision, self.window = "fp32", None
        self._checksum = weights_digest(network)
        self.version = f"{Mule.version}-{self._checksum[:12]}"
        self._trained: SlowFastNFNet | None = network
        self._network, self._device = None, "cpu"

    def fingerprint(self) -> str:
        """Return the sha256 of what decides an embedding, the weights by their digest."""
        stand_in = copy.copy(self)
        vars(stand_in).update(_network=None, _trained=None, _device="cpu")
        return Encoder.fingerprint(stand_in)

    def to(self, device: str) -> None:
        """Fold the network, once, and move it to ``device``."""
        if self._network is None:
            assert self._trained is not None
            network = fold(self._trained)
            self._network = network.to(torch.bfloat16) if self.precision == "bf16" else network
        self._network = self._network.to(device)
        self._device = device


class PretrainedOnWaveforms(Encoder):
    """A network of waveforms that was trained here; its run's card.json states data and licence."""

    version = "1"
    sample_rate = SAMPLE_RATE
    decoding = "mule"
    notes: ClassVar[tuple[str, ...]] = (
        "Trained by bench pretrain; the card.json of the run states recipe, data, steps and licence.",
        "Decoding is that of musicset-ularge; the network's own front end takes the waveform from there.",
    )

    def __init__(self, kind: str, network: nn.Module, name: str) -> None:
        """Take a network in evaluation mode.

        Args:
            kind: Its name in the table of networks.
            network: It is not changed; nor may it be, from now on.
            name: The encoder's name in records.
        """
        about = NETWORKS[kind]
        self.name, self.dim, self.kind = name, about.dim, kind
        self.window_seconds, self.hop_seconds = about.window_seconds, about.hop_seconds
        self._checksum = weights_digest(network, kind)
        self.version = f"{PretrainedOnWaveforms.version}-{self._checksum[:12]}"
        self._network = network

    def fingerprint(self) -> str:
        """Return the sha256 of what decides an embedding, the weights by their digest."""
        stand_in = copy.copy(self)
        vars(stand_in).update(_network=None)
        return Encoder.fingerprint(stand_in)

    def to(self, device: str) -> None:
        """Move the network to ``device``."""
        self._network = self._network.to(device).eval()

    @torch.inference_mode()
    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, 1, n] at 16 kHz as [B, dim]."""
        network: Any = self._network  # see networks.table.Network
        return network.embedded(waveforms[:, 0]).float()


def encoder_of(kind: str, network: nn.Module, name: str) -> Encoder:
    """Return a trained network as an encoder.

    Args:
        kind: Its name in the table of networks; empty for an NFNet of a file that does not say it.
        network: In evaluation mode.
        name: The encoder's name in records.
    """
    if isinstance(network, SlowFastNFNet):
        return Pretrained(network, name)
    return PretrainedOnWaveforms(kind, network, name)


def open_pretrained(spec: EncoderSpec, home: Path) -> Encoder:
    """Return the encoder of a run: its export, or the checkpoint of a step, ``last`` or ``best`` behind ``@``.

    Its name in records is the folder's name, with ``@STEP`` for a checkpoint.

    Raises:
        UserError: There is no such run, export or checkpoint, an option was given, or it was trained on log-mels of
            another version of the front end.
    """
    spec.check_options(())
    folder = folder_of(spec.target, home)
    again = "train it again on a store of this version, or embed with the version that trained it"
    refuse_other_front_end(frontend_of(folder), f"what the run {folder} was trained on", again, Silent())
    kind, network, step = read_run(folder, spec.revision)
    name = resolved(folder).name
    return encoder_of(kind, network, name if step is None else f"{name}@{step}")
