"""The weights of a Hugging Face model: what its files hold, what the model lacks, and what it has no use for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.encoders.packaged.hub_problems import explained
from benchmark.encoders.packaged.huggingface_encoder import HuggingFace
from benchmark.encoders.packaged.huggingface_families import Clap, Whisper
from benchmark.errors import UserError

#: Weights that only training uses, which some published checkpoints lack.
UNUSED = ("masked_spec_embed",)


@dataclass(frozen=True)
class Source:
    """Where a model is: a hub id or a folder, and the arguments that pin and trust it."""

    place: str
    local: bool
    who: str
    pins: dict[str, Any]
    remote: bool


@dataclass(frozen=True)
class WeightsFound:
    """How tensors of the files and of the model differ, by name; ``beyond`` are layers that it does not use."""

    unused: tuple[str, ...]
    lacking: tuple[str, ...]
    beyond: tuple[str, ...]


def load_model(
    source: Source, family: type[HuggingFace], config: Any, transformers: Any
) -> tuple[Any, Any, WeightsFound]:
    """Return the model in float32 and evaluation mode, the configuration of the part that is used, and its weights."""
    made_by, options = transformers.AutoModel, {}
    if family is Clap:
        made_by, config = transformers.ClapAudioModelWithProjection, getattr(config, "audio_config", config)
        options = {"config": config}
    elif config.model_type.startswith("musicgen"):
        config = config.audio_encoder
        if config.model_type != "encodec":
            raise UserError(
                f"{source.who} has a codec of type {config.model_type!r}, not encodec",
                "write a plug-in ('bench encoders new')",
            )
        made_by = transformers.EncodecModel
        options = {"config": config, "key_mapping": {r"^audio_encoder\.": ""}}
    if made_by is transformers.AutoModel:
        options["trust_remote_code"] = source.remote
    from benchmark.encoders.packaged.unsaved_state import every_lack_told, restore, weights_left_alone

    base, ignored = transformers.PreTrainedModel, set[str]()
    with (
        explained(source.who, source.place, source.pins.get("revision")),
        weights_left_alone(base),
        every_lack_told(base, ignored),
    ):
        model, report = made_by.from_pretrained(
            source.place, dtype="float32", weights_only=True, output_loading_info=True, **options, **source.pins
        )
    missing, computed = _missing(model, report["missing_keys"], ignored)
    if family is Whisper:
        missing = [key for key in missing if "decoder" not in key]
    if missing:
        raise UserError(
            f"the weights of {source.who} lack {len(missing)} tensor(s) of {type(model).__name__}, which would be "
            f"random: {', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}",
            "Name a model of this kind, or write a plug-in for it ('bench encoders new')",
        )
    with explained(source.who, source.place, source.pins.get("revision")):
        restore(model, computed, source.who)
    if family is Whisper:
        model, config = model.get_encoder(), model.config
    lacking = sorted(key for key in report["missing_keys"] if family is not Whisper or "decoder" not in key)
    unused = sorted(report["unexpected_keys"])
    found = WeightsFound(tuple(unused), tuple(lacking), tuple(_beyond(unused, model.state_dict())))
    return model.float().eval(), config, found


def _missing(model: Any, keys: Iterable[str], ignored: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Return the weights that no file holds, and the saved buffers that the model says it computes itself.

    What only training uses is set to zero: it has to be the same every time. What a normalisation counts in training
    is no such buffer.
    """
    import torch

    names, buffers, patterns = sorted(keys), dict(model.named_buffers()), [re.compile(key) for key in ignored]
    for name in [key for key in names if key.endswith(UNUSED)]:
        torch.nn.init.zeros_(model.get_parameter(name))
    names = [key for key in names if not key.endswith(UNUSED)]
    counted = {
        f"{name}.{key}"
        for name, part in model.named_modules()
        for key, _ in part.named_buffers(recurse=False)
        if isinstance(part, torch.nn.modules.batchnorm._NormBase)
    }
    computed = frozenset(
        name for name in names if name in buffers and name not in counted and any(p.search(name) for p in patterns)
    )
    return [name for name in names if name not in computed], computed


def _beyond(unused: Iterable[str], used: Iterable[str]) -> list[str]:
    """Return unused tensors that differ from used ones by a number alone: layers that the configuration does not count.

    A file may have a prefix before the names of the part that is used.
    """
    patterns = {re.sub(r"\d+", "#", name) for name in used if re.search(r"\d", name)}

    def is_layer(name: str) -> bool:
        parts = re.sub(r"\d+", "#", name).split(".")
        return any(".".join(parts[start:]) in patterns for start in range(len(parts)))

    return [name for name in unused if is_layer(name)]
