"""A BERT that is at hand as the beginning of the text's side: its vocabulary, its embeddings and its first layers.

Manco et al. 2022 begin with the first six layers of bert-base-uncased. It is read from a folder or from the cache of
Hugging Face, never from the network, and from safetensors alone. The special tokens are put in front of the vocabulary,
where :mod:`~benchmark.pretraining.strategies.language.tokenizer` has them, and the embedding of the first sentence is
added to those of places, which changes nothing of what the layers see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.pretraining.strategies.language.layers import Width, bert_of_transformers
from benchmark.pretraining.strategies.language.network import AudioAndText
from benchmark.pretraining.strategies.language.tokenizer import SPECIAL


@dataclass(frozen=True)
class Text:
    """What a BERT gives.

    Attributes:
        vocabulary: Its entries, the special ones in front.
        words: Their embeddings, [V, width], in that order.
        places: Embeddings of places, [tokens, width].
        norm: Weights of the normalisation behind the embeddings.
        layers: Weights of each layer that is taken.
    """

    vocabulary: tuple[str, ...]
    words: Tensor
    places: Tensor
    norm: Mapping[str, Tensor]
    layers: tuple[Mapping[str, Tensor], ...]

    def fill(self, model: AudioAndText) -> None:
        """Put the weights into a network of the sizes that were asked for."""
        with torch.no_grad():
            model.text_input.words.weight.copy_(self.words)
            model.text_input.places.weight.copy_(self.places)
        model.text_input.norm.load_state_dict(dict(self.norm))
        for layer, weights in zip(model.text_layers, self.layers, strict=True):
            layer.load_state_dict(dict(weights))


def read(name: str, sizes: Width, tokens: int) -> Text:
    """Return what the BERT ``name`` gives to text of these sizes.

    Args:
        name: A folder of config.json, model.safetensors and the tokenizer's files, or a name in Hugging Face's cache.
        sizes: The layers that are taken, and their sizes.
        tokens: The places that are taken.

    Raises:
        UserError: It is not at hand, lacks weights, is no uncased BERT, or is of other sizes.
    """
    bert_of_transformers()
    import transformers

    try:
        config = transformers.BertConfig.from_pretrained(name, local_files_only=True)
        tokenizer: Any = transformers.BertTokenizer.from_pretrained(name, local_files_only=True)
        found: Any = transformers.BertModel.from_pretrained(
            name, local_files_only=True, use_safetensors=True, add_pooling_layer=False, output_loading_info=True
        )
    except Exception as error:  # transformers raises whatever its readers stumble on
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"the text model {name!r} cannot be read: {reason}",
            "name a folder that holds a BERT (config.json, model.safetensors, tokenizer.json), fetch it into the cache "
            "first with 'hf download', or leave text_model out, so that a vocabulary is trained on the captions",
        ) from None
    model, loaded = found
    _refuse_other(name, config, tokenizer, sizes, tokens)
    if loaded["missing_keys"]:
        raise UserError(
            f"the text model {name!r} lacks weights: {', '.join(sorted(loaded['missing_keys'])[:3])}",
            "name another, or leave text_model out",
        )
    numbers = tokenizer.get_vocab()
    by_number = sorted((number, piece) for piece, number in numbers.items() if piece not in SPECIAL)
    vocabulary = (*SPECIAL, *(piece for _, piece in by_number))
    inputs = model.embeddings
    words = inputs.word_embeddings.weight.detach()[[numbers[piece] for piece in vocabulary]]
    places = inputs.position_embeddings.weight.detach()[:tokens] + inputs.token_type_embeddings.weight.detach()[0]
    layers = tuple(layer.state_dict() for layer in model.encoder.layer[: sizes.layers])
    return Text(vocabulary, words, places, inputs.LayerNorm.state_dict(), layers)


def _refuse_other(name: str, config: Any, tokenizer: Any, sizes: Width, tokens: int) -> None:
    """See whether a BERT can be taken.

    Raises:
        UserError: It cannot.
    """
    have = (config.hidden_size, config.num_attention_heads, config.intermediate_size)
    if have != (sizes.width, sizes.heads, sizes.hidden):
        raise UserError(
            f"the text model {name!r} is of another size than the recipe",
            "give text_width={} text_heads={} text_hidden={}".format(*have),
        )
    if config.num_hidden_layers < sizes.layers or config.max_position_embeddings < tokens:
        raise UserError(
            f"the text model {name!r} has {config.num_hidden_layers} layers and {config.max_position_embeddings} "
            f"places, fewer than the recipe asks for ({sizes.layers}, {tokens})",
            f"give text_layers={min(config.num_hidden_layers, sizes.layers)} "
            f"tokens={min(config.max_position_embeddings, tokens)}",
        )
    if config.model_type != "bert" or config.hidden_act != "gelu" or config.layer_norm_eps != 1e-12:
        raise UserError(
            f"the text model {name!r} is no BERT as published: its kind is {config.model_type!r}, its activation "
            f"{config.hidden_act!r}, its epsilon {config.layer_norm_eps:g}",
            "name another, or leave text_model out",
        )
    entries, rows = len(tokenizer.get_vocab()), config.vocab_size  # the library adds special tokens that are missing
    rule = tokenizer.backend_tokenizer.normalizer
    if entries > rows or rule is None or rule.normalize_str("A") != "a":
        raise UserError(
            f"the vocabulary of the text model {name!r} "
            + (
                f"has {entries} entries with its special tokens, its weights {rows}"
                if entries > rows
                else "has capitals"
            ),
            "name an uncased BERT, or leave text_model out",
        )
