"""Encoders that another process computes, and what an encoder's call gives."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.encoders.base import Encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmark.encoders.check.speed import Peak


@dataclass(frozen=True)
class EncoderOutput:
    """The output of an encoder as numpy: values, the name of its own dtype, and whether it carried a gradient graph."""

    values: np.ndarray
    dtype: str
    graph: bool


@dataclass(frozen=True)
class Software:
    """What an environment is made of.

    Attributes:
        name: What the environment is called: a name, never a path.
        python: The version of its interpreter, such as ``3.10.14``.
        packages: How many packages it has.
        digest: The sha256 of its list of packages: ``name==version``, sorted, a line each.
        main: Versions of those packages that most encoders are built on.
    """

    name: str
    python: str
    packages: int
    digest: str
    main: Mapping[str, str]

    def __str__(self) -> str:
        shown = ", ".join([f"Python {self.python}", *(f"{name} {version}" for name, version in self.main.items())])
        return f"{self.name}: {shown}; {self.packages} packages, list {self.digest[:12]}"


class RemoteEncoder(Encoder):
    """An encoder that is not in this process: what is asked of its network, device and memory is asked of the other.

    Attributes:
        software: The environment that it runs in.
        parameter_total: Parameters of its networks of torch, ``None`` where it has none.
    """

    arrays = "numpy"  # it is handed arrays; what its own code takes, the other process makes of them
    software: Software
    parameter_total: int | None = None

    def answer(self, waveforms: np.ndarray) -> EncoderOutput:
        """Embed float32 [B, channels, samples], and return what came with its own dtype."""
        raise NotImplementedError

    def embed(self, waveforms: Any) -> np.ndarray:
        """Embed a batch of equally long windows: float32 [B, channels, samples] -> floats, as the encoder declares."""
        return self.answer(np.asarray(waveforms, np.float32)).values

    def module_modes(self) -> list[tuple[str, bool]]:
        """Return the type's name of each torch module, and whether it is in training mode."""
        raise NotImplementedError

    def device_there(self, device: str) -> str:
        """Return torch's name, in the other process, of the device that the user asked for."""
        raise NotImplementedError

    def peak(self, device: str) -> AbstractContextManager[Peak]:
        """Measure the peak of memory of what is done meanwhile, in the other process."""
        raise NotImplementedError


def device_for(encoder: Encoder, device: str) -> str:
    """Return torch's name of the device that an encoder is to run on: of the torch that it is computed with.

    Raises:
        UserError: There is no such device.
    """
    if isinstance(encoder, RemoteEncoder):
        return encoder.device_there(device)
    from benchmark.system.machine import device_of

    return device_of(device, encoder.arrays)
