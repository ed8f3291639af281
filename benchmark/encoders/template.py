"""The plug-in that ``bench encoders new`` writes: ten lines that run, to be changed line by line."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.errors import UserError

TEMPLATE = '''\
import torch
from benchmark import Encoder


class {cls}(Encoder):
    """Level and brightness: replace by your model."""

    name, version, sample_rate, dim = "{name}", "1", 16000, 2
    window_seconds, hop_seconds, minimum_seconds = 3.0, 2.0, 0.1

    def embed(self, waveforms):  # float32 [batch, 1, samples] -> [batch, dim]; load weights in __init__
        return torch.stack([waveforms.std((1, 2)), waveforms.diff().abs().mean((1, 2))], dim=1)
'''


def source(stem: str) -> str:
    """Return the text of a plug-in whose file is called ``stem``.

    Raises:
        UserError: ``stem`` holds no letter to begin a class name with.
    """
    words = re.findall(r"[A-Za-z0-9]+", stem)
    cls = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")
    if not cls:
        raise UserError(f"no class can be named after {stem!r}", "take a name with letters, such as my_encoder.py")
    return TEMPLATE.format(cls=cls[0].upper() + cls[1:], name="-".join(words).lower())


def write(path: Path) -> None:
    """Write the plug-in to ``path``, which must not be there yet.

    Raises:
        UserError: It is no Python file, is there already, or cannot be written.
    """
    if path.suffix != ".py":
        raise UserError(f"{path} is no Python file", "name one such as my_encoder.py")
    text = source(path.stem)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} is there already", "choose another name") from None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}", "let it be written, or name another place"
        ) from None
