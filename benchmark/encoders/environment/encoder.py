"""``env:PYTHON::SPEC``: an encoder that another interpreter runs, with the contract of any other."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.check.speed import Peak
from benchmark.encoders.environment import frames
from benchmark.encoders.environment.interpreters import find
from benchmark.encoders.environment.process import EnvironmentProcess, Opening
from benchmark.encoders.remote import EncoderOutput, RemoteEncoder, Software
from benchmark.encoders.spec import FILE, EncoderSpec, parse
from benchmark.errors import UserError
from benchmark.system.machine import Precision, refuse_unknown_device
from tasks.files import expanded, resolved

#: Kinds that make no sense in another interpreter.
SENSELESS = ("env", "emb")
ROOT = Path(__file__).resolve().parents[3]
_copies = itertools.count(1)


class EnvironmentEncoder(RemoteEncoder):
    """An encoder in another interpreter: what this one declares, the other said; what it is asked, the other answers.

    The class of an object is made for it, with the name, the documentation and the notes of the encoder's own.
    """

    def __init__(self, process: EnvironmentProcess, steps: list[Any], description: Mapping[str, Any]) -> None:
        """Take over what the other process said of an encoder.

        Args:
            process: The other process.
            steps: What leads from the encoder that was opened there to this one.
            description: What it says.
        """
        self._process, self._steps = process, steps
        self._place: dict[str, Any] = {"device": "", "evaluation": False}
        self._fitted_at: int | None = None
        for name, (kind, value) in description["declared"].items():
            if name != "arrays":
                setattr(self, name, tuple(value) if kind == "tuple" else _Foreign(value) if kind == "other" else value)
        self.parameter_total = description["parameters"]
        self.software = software_of(process, description)

    def __deepcopy__(self, memory: dict[int, Any]) -> EnvironmentEncoder:
        """Copy it in the other process."""
        copied, _ = self._derived("copy", next(_copies))
        weakref.finalize(copied, self._process.forget, copied._steps).atexit = False
        return copied

    def answer(self, waveforms: np.ndarray) -> EncoderOutput:
        """Embed a batch in the other process."""
        data = np.ascontiguousarray(waveforms, np.float32)
        told, values = self._process.ask(
            "embed", data.reshape(-1).view(np.uint8), since=self._fitted_at, steps=self._steps,
            shape=list(data.shape), **self._place,
        )  # fmt: skip
        return _output(told, values)

    def fit(self, waveforms: Iterator[np.ndarray]) -> None:
        """Fit it in the other process, to which windows are sent one by one."""
        self._fitted_at = self._process.fit(waveforms, steps=self._steps)

    def to(self, device: str) -> None:
        """Move it in the other process, and each later process that takes its place."""
        self._place = {**self._place, "device": device}
        self._put()

    def eval(self) -> None:
        """Put it into evaluation mode."""
        self._place = {**self._place, "evaluation": True}
        self._put()

    def _put(self) -> None:
        self._process.ask("place", since=self._fitted_at, steps=self._steps, **self._place)

    def with_precision(self, precision: Precision) -> Encoder:
        """Return the encoder that computes in ``precision``, as its own code says."""
        derived, same = self._derived("precision", precision)
        return self if same else derived

    def for_window(self, seconds: float) -> Encoder:
        """Return the encoder for windows of a task, as its own code says."""
        derived, same = self._derived("window", seconds)
        return self if same else derived

    def _derived(self, what: str, value: object) -> tuple[EnvironmentEncoder, bool]:
        steps = [*self._steps, [what, value]]
        told, _ = self._process.ask("derive", since=self._fitted_at, steps=steps)
        software = self._process.open()["software"]
        derived = type(self)(self._process, steps, {**told, "software": software})
        derived._place, derived.text = dict(self._place), self.text
        derived._fitted_at = self._fitted_at
        return derived, bool(told["same"])

    def fingerprint(self) -> str:
        """Return the sha256 of the encoder's own fingerprint, computed there, of the interpreter and the packages."""
        state = [
            "env",
            self._process.fingerprint(self._steps, self._fitted_at),
            self.software.python,
            self.software.digest,
        ]
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()

    def module_modes(self) -> list[tuple[str, bool]]:
        """Return the torch modules there, and whether each is in training mode."""
        told, _ = self._process.ask("modes", since=self._fitted_at, steps=self._steps)
        return [(str(name), bool(training)) for name, training in told["modes"]]

    def device_there(self, device: str) -> str:
        """Return the device that the environment's own torch has under this name."""
        refuse_unknown_device(device)
        return str(self._process.ask("device", since=self._fitted_at, steps=self._steps, device=device)[0]["device"])

    @contextmanager
    def peak(self, device: str) -> Iterator[Peak]:
        """Measure the other process's peak of memory."""
        peak = Peak(0)
        self._process.ask("peak", begin=True, device=device)
        yield peak
        told, _ = self._process.ask("peak", begin=False, device=device)
        peak.before, peak.after = int(told["before"]), int(told["after"])


class _Foreign:
    """A declaration that is no number, text or tuple of texts: it is refused, with the text that it has there."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _output(told: Mapping[str, Any], values: np.ndarray) -> EncoderOutput:
    """Return the arrays of an answer; where they are of a type that is refused in any case, their shape alone."""
    dtype, shape, own, graph = (told.get(key) for key in ("dtype", "shape", "own", "graph"))
    if dtype in frames.DTYPES:
        array = values.view(str(dtype)).reshape(frames.checked(dtype, shape, values.size))
        return EncoderOutput(array, str(own), bool(graph))
    return EncoderOutput(np.zeros(0, object), str(own), bool(graph))


def open_environment(spec: EncoderSpec, home: Path) -> Encoder:
    """Return the encoder of ``env:PYTHON::SPEC``; its options are those of the encoder.

    Raises:
        UserError: There is no such interpreter, or it cannot open the encoder; its last lines are shown.
        HungError: It does not come back.
    """
    if os.name != "posix":
        raise UserError(
            f"{spec.text!r} needs pipes as Linux and macOS have them", "run it there, or in the Linux of Windows (WSL)"
        )
    inner = parse(spec.inner)
    if inner.kind in SENSELESS:
        raise UserError(
            f"{inner.kind}: needs no interpreter, so {spec.text!r} has no meaning", f"name it alone: {spec.inner}"
        )
    target, cls, text = _target(inner)
    interpreter = find(spec.target, home)
    message = {
        "kind": inner.kind,
        "target": target,
        "class": cls,
        "text": text,
        "options": dict(spec.options),
        "home": str(home),
        "root": str(ROOT),
        "threadpoolctl": getattr(importlib.util.find_spec("threadpoolctl"), "origin", ""),
    }
    process = EnvironmentProcess(interpreter, Opening(message, spec.text))
    told = process.open()
    notes = (*told["notes"], f"Runs in the environment {software_of(process, told)}.")
    own = {"__doc__": told["doc"], "notes": notes, "__module__": __name__}
    kind = type(str(told["class"]), (EnvironmentEncoder,), own)
    encoder = kind(process, [], told)
    if getattr(encoder, "fitted", False) is True and not told["fits"]:
        raise UserError(
            f"the encoder {told['class']} declares fitted = True and has no fit(waveforms) method", "define it"
        )
    assert isinstance(encoder, Encoder)
    return encoder


def software_of(process: EnvironmentProcess, description: Mapping[str, Any]) -> Software:
    """Return what a process says of its environment."""
    return Software(name=process.label, **description["software"])


def _target(inner: EncoderSpec) -> tuple[str, str, str]:
    """Return the file or module, the class, and the whole text with an absolute path.

    Raises:
        UserError: There is no such file.
    """
    if inner.kind == "class":
        module, _, cls = inner.target.partition(":")
        return module, cls, inner.text
    file = FILE.fullmatch(inner.target) if inner.kind == "file" else None
    if file is None:
        return inner.target, "", inner.text
    path = resolved(expanded(file[1]))
    if not path.is_file():
        raise UserError(
            f"no encoder file at {path}", f"check the path, or write one: bench encoders new {path.name} --env NAME"
        )
    return str(path), file[2] or "", f"{path}:{file[2]}" if file[2] else str(path)
