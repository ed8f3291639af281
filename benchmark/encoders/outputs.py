"""Call an encoder, and check its outputs against the contract."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.remote import EncoderOutput as EncoderOutput
from benchmark.encoders.remote import RemoteEncoder
from benchmark.encoders.torch_settings import float32_throughout


class OutputError(ValueError):
    """An output that breaks a rule of the contract. The message ends a sentence: 'returned ...'."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def call_encoder(encoder: Encoder, waveforms: np.ndarray, device: str) -> EncoderOutput:
    """Return the output of ``encoder`` on float32 [B, channels, n], without gradients; torch encoders get a tensor.

    Errors of the encoder are not caught.
    """
    if isinstance(encoder, RemoteEncoder):
        return encoder.answer(waveforms)
    if encoder.arrays == "numpy":
        return _as_arrays(encoder.embed(waveforms))
    import torch

    with torch.no_grad(), float32_throughout():
        return _as_arrays(encoder.embed(torch.from_numpy(waveforms).to(device)))


def _as_arrays(output: Any) -> EncoderOutput:
    if not hasattr(output, "detach"):
        values = np.asarray(output)
        return EncoderOutput(values, str(values.dtype), graph=False)
    dtype, graph = str(output.dtype).removeprefix("torch."), bool(output.requires_grad)
    output = output.detach()
    if dtype == "bfloat16":  # numpy has none
        output = output.float()
    return EncoderOutput(output.cpu().numpy(), dtype, graph)


def as_rows(encoder: Encoder, output: EncoderOutput, batch: int) -> np.ndarray:
    """Return an output for ``batch`` windows as float32 [batch, width]: frames averaged, layers concatenated.

    Values that float32 cannot hold become infinite; the caller refuses them.

    Raises:
        OutputError: It is not floats, carries a graph, or is not of the declared shape.
    """
    values = output.values
    if not np.issubdtype(values.dtype, np.floating):
        raise OutputError("dtype", f"returned {output.dtype}, not floats")
    if output.graph:
        raise OutputError(
            "no graph",
            "returned a tensor that carries a graph (requires_grad), which keeps all activations in memory: do not "
            "switch gradients on in embed, or return it detached",
        )
    row = (encoder.dim,) if encoder.layers is None else (len(encoder.layers), encoder.dim)
    if encoder.layers is None and values.ndim == 3 and values.shape[1] > 0 and values.shape[2] == encoder.dim:
        values = values.mean(axis=1, dtype=np.float64)
    if values.shape != (batch, *row):
        expected = f"[{batch}, {', '.join(map(str, row))}]"
        rule = "layers" if encoder.layers is not None and values.ndim == 3 else "shape"
        raise OutputError(rule, f"returned shape {list(values.shape)} where {expected} was declared")
    with np.errstate(over="ignore"):
        return values.reshape(batch, -1).astype(np.float32, copy=False)
