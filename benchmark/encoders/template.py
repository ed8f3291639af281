"""The plug-in that ``bench encoders new`` writes: ten lines that run, to be changed line by line.

With ``--env`` it is for an environment of its own, which need not have torch; the commands that make one are told.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from benchmark.encoders.environment.interpreters import FOLDER, PLACES
from benchmark.errors import UserError
from tasks.files import expanded

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


IN_ENVIRONMENT = '''\
import numpy as np
from benchmark import Encoder  # found in every environment; with arrays = "torch", embed gets tensors


class {cls}(Encoder):
    """Level and brightness: replace by your model, and import its package above."""

    name, version, sample_rate, dim, arrays = "{name}", "1", 16000, 2, "numpy"
    window_seconds, hop_seconds, minimum_seconds = 3.0, 2.0, 0.1

    def embed(self, waveforms):  # float32 [batch, 1, samples] -> [batch, dim]; load weights in __init__
        return np.stack([waveforms.std((1, 2)), np.abs(np.diff(waveforms)).mean((1, 2))], axis=1)
'''


def source(stem: str, template: str = TEMPLATE) -> str:
    """Return the text of a plug-in whose file is called ``stem``.

    Args:
        stem: The file's name without its ending.
        template: What it is made from.

    Raises:
        UserError: ``stem`` holds no letter to begin a class name with.
    """
    words = re.findall(r"[A-Za-z0-9]+", stem)
    cls = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")
    if not cls:
        raise UserError(f"no class can be named after {stem!r}", "take a name with letters, such as my_encoder.py")
    return template.format(cls=cls[0].upper() + cls[1:], name="-".join(words).lower())


def write(path: Path, template: str = TEMPLATE) -> None:
    """Write the plug-in to ``path``, which must not be there yet.

    Args:
        path: The file.
        template: What it is made from.

    Raises:
        UserError: It is no Python file, is there already, or cannot be written.
    """
    if path.suffix != ".py":
        raise UserError(f"{path} is no Python file", "name one such as my_encoder.py")
    text = source(path.stem, template)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} is there already", "choose another name") from None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}", "let it be written, or name another place"
        ) from None


def commands(path: Path, environment: str, home: Path) -> list[str]:
    """Return the commands that make an environment, install into it, and check the plug-in in it.

    Args:
        path: The file of the plug-in.
        environment: A name in the data home, or the path of a folder.
        home: The data home.

    Raises:
        UserError: The environment has no name.
    """
    if not environment.strip() or "::" in environment:
        raise UserError(f"an environment cannot be called {environment!r}", "give a name such as --env old")
    is_path = any(mark in environment for mark in ("/", "\\", "~"))
    folder = expanded(environment) if is_path else home / FOLDER / environment
    return [
        shlex.join([sys.executable, "-P", "-m", "venv", str(folder)]),
        shlex.join([str(folder / PLACES[0]), "-m", "pip", "install", "numpy"]),
        shlex.join(["bench", "encoders", "check", f"env:{environment}::{path}"]),
    ]
