"""Families of Hugging Face audio models: the inputs that each takes, and the output that is its embedding.

All windows of a batch are equally long and nothing is padded into them by us. Where a family pads by its own rule (AST
to its 10.24 s, Whisper to 30 s), only the frames that hold audio are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.encoders.packaged.huggingface_encoder import HuggingFace, Loaded
from benchmark.encoders.spec import EncoderSpec
from benchmark.errors import UserError


class Wave(HuggingFace):
    """A transformer over a waveform: wav2vec 2.0, HuBERT, WavLM, data2vec, MERT and other remote code."""

    layers_at: str | None = "encoder.layers"
    notes = (
        *HuggingFace.notes,
        "Each window is brought to zero mean and unit variance where the extractor's configuration says do_normalize.",
        "The embedding is the encoder's, before an adapter where there is one.",
    )

    def __init__(self, spec: EncoderSpec, loaded: Loaded) -> None:
        """See :class:`HuggingFace`; remote code may keep its layers anywhere.

        Raises:
            UserError: Nobody says whether waveforms are normalised.
        """
        if loaded.remote:
            self.layers_at = None
        super().__init__(spec, loaded)
        own = getattr(loaded.extractor, "do_normalize", None)
        chosen = spec.option("normalize", bool)
        if own is None and chosen is None:
            raise UserError(
                f"{self._who} has no preprocessor_config.json that says whether waveforms are brought to zero mean "
                "and unit variance",
                "give normalize=1 or normalize=0",
            )
        if own is not None and chosen is not None and bool(own) != chosen:
            raise UserError(f"the extractor of {self._who} says do_normalize={own}", "leave normalize out")
        self._normalize = bool(chosen if own is None else own)
        self._content += f" {self._normalize}"

    def facts(self) -> dict[str, object]:
        """Return what the model is, and whether its windows are normalised."""
        return {**super().facts(), "normalize": self._normalize}

    def inputs(self, waveforms: Any) -> Mapping[str, Any]:
        """Return the mono waveforms, normalised one by one where the model wants it."""
        mono = waveforms[:, 0]
        if self._normalize:
            variance = mono.var(dim=1, correction=0, keepdim=True)
            mono = (mono - mono.mean(dim=1, keepdim=True)) / (variance + 1e-7).sqrt()
        return {"waveforms": mono}

    def answer(self, inputs: Mapping[str, Any]) -> Any:
        """Run the model; remote code may call its argument anything."""
        return self._model(inputs["waveforms"])


class Wav2Vec2Bert(HuggingFace):
    """A conformer over log-mel frames, normalised by band and taken in pairs: w2v-BERT 2.0."""

    layers_at = "encoder.layers"
    notes = (*HuggingFace.notes, "A last odd frame of 10 ms is left out, as the extractor's mask does.")

    def inputs(self, waveforms: Any) -> Mapping[str, Any]:
        """Return pairs of log-mel frames and which of them hold audio."""
        features = self.extracted(waveforms, padding=True, return_attention_mask=True)
        mask = features["attention_mask"].bool()
        self._pairs = int(mask[0].sum())  # all windows are equally long
        return {
            "input_features": features["input_features"][:, : self._pairs].float().to(waveforms.device),
            "attention_mask": mask[:, : self._pairs].to(waveforms.device),
        }


class Ast(HuggingFace):
    """The Audio Spectrogram Transformer: patches of a log-mel spectrogram, always of 10.24 s."""

    layers_at = "layers"
    usual_seconds = None
    shortest_seconds = 0.2  # one patch of 16 frames
    pads = True
    notes = (
        *HuggingFace.notes,
        "Patches whose 16 frames all hold audio are averaged, over frequency too; the two class tokens are not among "
        "them. A shorter window is padded by the extractor's own rule, as in training.",
    )
    FRAME, HOP, CLASS_TOKENS = 0.025, 0.010, 2

    def _longest(self) -> float:
        return round(self._config.max_length * self.HOP, 3)

    def inputs(self, waveforms: Any) -> Mapping[str, Any]:
        """Return log-mel spectrograms [B, max_length, bands]."""
        return {"input_values": self.extracted(waveforms)["input_values"].float().to(waveforms.device)}

    def audible(self, samples: int) -> int:
        """Return how many columns of patches lie in the audio, at least one."""
        frames = 1 + int((samples / self.sample_rate - self.FRAME) / self.HOP + 1e-6)
        return max(1, (frames - self._config.patch_size) // self._config.time_stride + 1)

    def heard(self, hidden: Any, audible: int | None) -> Any:
        """Return the patches of the first columns: tokens run along time within each row of frequency."""
        patches = hidden[:, self.CLASS_TOKENS :]
        columns = (self._config.max_length - self._config.patch_size) // self._config.time_stride + 1
        grid = patches.unflatten(1, (-1, columns))[:, :, :audible]
        return grid.flatten(1, 2)


class Whisper(HuggingFace):
    """The encoder of Whisper: log-mel frames, always of 30 s."""

    layers_at = "layers"
    usual_seconds = None
    pads = True
    notes = (
        *HuggingFace.notes,
        "The encoder alone. Frames (20 ms) that hold audio are averaged, not those of padding.",
    )

    def _longest(self) -> float:
        return float(self._extractor.chunk_length)

    def inputs(self, waveforms: Any) -> Mapping[str, Any]:
        """Return log-mel spectrograms [B, bands, frames of 30 s], without dither."""
        self._extractor.dither = 0.0
        return {"input_features": self.extracted(waveforms)["input_features"].float().to(waveforms.device)}

    def audible(self, samples: int) -> int:
        """Return the frames that begin within the audio; two steps of the spectrogram each."""
        return -(-samples // (2 * self._extractor.hop_length))


class Clap(HuggingFace):
    """The audio branch of CLAP: one embedding of 10 s, in the space that it shares with texts."""

    usual_seconds = None
    has_layers = False
    pads = True
    notes = (
        *HuggingFace.notes,
        "Windows of exactly 10 s, so that the extractor never crops at random; a shorter one is repeated and filled up "
        "by its own rule, and no window is marked at random as a longer one.",
        "The projected embedding, not brought to unit length.",
    )

    def _longest(self) -> float:
        return float(self._extractor.nb_max_samples / self._extractor.sampling_rate)

    def _width(self) -> int:
        return int(self._config.projection_dim)

    def inputs(self, waveforms: Any) -> Mapping[str, Any]:
        """Return log-mel spectrograms; what is longer than 10 s would be cropped at random and is refused."""
        import torch

        if waveforms.shape[-1] > self._extractor.nb_max_samples:
            raise UserError(
                f"{self._who} takes at most {self._longest():g} s: it would crop the rest at random",
                f"Give a shorter window, such as window={self._longest():g}",
            )
        features = self.extracted(waveforms)["input_features"].float().to(waveforms.device)
        longer = torch.zeros(len(features), 1, dtype=torch.bool, device=waveforms.device)
        return {"input_features": features, "is_longer": longer}

    def answer(self, inputs: Mapping[str, Any]) -> Any:
        """Return the projected embeddings [B, D]."""
        return self._model(**inputs).audio_embeds


class Codec(HuggingFace):
    """The encoder of a neural codec, before quantisation: EnCodec (that of MusicGen too) and DAC."""

    has_layers = False
    notes = (
        *HuggingFace.notes,
        "The encoder's output before quantisation, averaged over frames.",
        "A model that works in pieces of its own (EnCodec at 48 kHz: 1 s, each brought to unit loudness) gets whole "
        "pieces, the last one ending with the window.",
        "Of MusicGen, its EnCodec: its language model needs a text beside the codes.",
    )

    def __init__(self, spec: EncoderSpec, loaded: Loaded) -> None:
        """See :class:`HuggingFace`."""
        self.channels = 2 if getattr(loaded.config, "audio_channels", 1) == 2 else 1
        self._piece = getattr(loaded.config, "chunk_length", None)
        self._step = getattr(loaded.config, "chunk_stride", None)
        if self._piece is not None:
            self.shortest_seconds = self._piece / loaded.config.sampling_rate
        super().__init__(spec, loaded)

    def inputs(self, waveforms: Any) -> Mapping[str, Any]:
        """Return the waveforms as they are."""
        return {"waveforms": waveforms}

    def answer(self, inputs: Mapping[str, Any]) -> Any:
        """Return the frames [B, T, D] of the encoder."""
        import torch

        waveforms = inputs["waveforms"]
        samples = waveforms.shape[-1]
        piece = min(self._piece or samples, samples)
        starts = list(range(0, samples - piece + 1, self._step or samples))
        if starts[-1] + piece < samples:
            starts.append(samples - piece)
        frames = [self._model.encoder(self._levelled(waveforms[..., start : start + piece])) for start in starts]
        return torch.cat(frames, dim=2).transpose(1, 2)

    def _levelled(self, waveforms: Any) -> Any:
        """Return a piece at unit loudness, where the model was trained on such."""
        if not getattr(self._config, "normalize", False):
            return waveforms
        return waveforms / (waveforms.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True).sqrt() + 1e-8)


#: Families by the configuration's model_type.
FAMILIES: Mapping[str, type[HuggingFace]] = {
    **dict.fromkeys(("wav2vec2", "wav2vec2-conformer", "hubert", "wavlm", "data2vec-audio"), Wave),
    **dict.fromkeys(("unispeech", "unispeech-sat"), Wave),
    "wav2vec2-bert": Wav2Vec2Bert,
    "audio-spectrogram-transformer": Ast,
    "whisper": Whisper,
    **dict.fromkeys(("clap", "clap_audio_model"), Clap),
    **dict.fromkeys(("encodec", "dac", "musicgen", "musicgen_melody"), Codec),
}


def family_of(model_type: str, remote: bool, who: str) -> type[HuggingFace]:
    """Return the family of a model.

    Raises:
        UserError: There is none for it.
    """
    if remote:
        return Wave
    family = FAMILIES.get(model_type)
    if family is None:
        raise UserError(
            f"{who} is a model of type {model_type!r}, which no family here covers",
            f"name one of {', '.join(sorted(FAMILIES))}, or write a plug-in ('bench encoders new')",
        )
    return family
