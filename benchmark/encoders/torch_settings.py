"""Process-wide settings of torch that change embeddings and are part of no fingerprint.

Encoders are opened and called under torch's own: tensors are float32 where nobody says otherwise, and products of
float32 are computed in float32. A user's script may have others, and has them again afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmark.errors import UserError


@contextmanager
def float32_throughout() -> Iterator[None]:
    """Compute in float32: default dtype, matrix products, and convolutions, which cuDNN rounds to 10 bits by default.

    Nothing is done where torch is not loaded.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    from torch.backends import cudnn

    dtype, products, convolutions = torch.get_default_dtype(), torch.get_float32_matmul_precision(), cudnn.allow_tf32
    cudnn.allow_tf32 = False
    _set(torch, torch.float32, "highest")
    try:
        yield
    finally:
        _set(torch, dtype, products)
        cudnn.allow_tf32 = convolutions


@contextmanager
def unchanged_defaults(who: str) -> Iterator[None]:
    """Open an encoder under torch's own settings, and refuse one that changes them for the whole process.

    Raises:
        UserError: It does; they are set back.
    """
    with float32_throughout():
        yield
        torch: Any = sys.modules.get("torch")
        if torch is None:
            return
        dtype, products = torch.get_default_dtype(), torch.get_float32_matmul_precision()
        _set(torch, torch.float32, "highest")
    changed = [f"the default dtype to {dtype}"] if dtype != torch.float32 else []
    changed += [f"the precision of products to {products!r}"] if products != "highest" else []
    if changed:
        raise UserError(
            f"{who} changes {' and '.join(changed)} for all of this process, where other encoders and the probes are "
            "computed too",
            "give dtypes to its tensors, or cast in embed",
        )


def _set(torch: Any, dtype: Any, products: str) -> None:
    if torch.get_default_dtype() != dtype:
        torch.set_default_dtype(dtype)
    if torch.get_float32_matmul_precision() != products:
        torch.set_float32_matmul_precision(products)
