"""The other side of ``env:``: opens an encoder in this interpreter and answers for it, one question after the other.

It is run by its path, isolated, in an environment that need not have this program: it imports the standard library,
numpy, and what the encoder imports. Questions and answers have a pipe each of their own, whose ends are arguments;
whatever is printed goes elsewhere. It ends with the process that started it, even where that one is killed.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import json
import os
import platform
import queue
import re
import signal
import sys
import threading
import traceback
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

DISTRIBUTION = "music-probe-benchmark"
#: Packages that most encoders are built on: their versions are told, those of all others are hashed.
MAIN = (
    "torch", "torchaudio", "torchvision", "transformers", "tensorflow", "keras", "jax", "flax", "onnxruntime", "numpy",
    "scipy", "librosa", "lightning", "fairseq", "nnaudio", "essentia", "essentia-tensorflow", DISTRIBUTION,
)  # fmt: skip
DECLARED = (
    "name", "version", "sample_rate", "channels", "window_seconds", "hop_seconds", "minimum_seconds",
    "maximum_seconds", "padding", "dim", "layers", "decoding", "arrays", "fitted", "precision",
)  # fmt: skip
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl
HERE = Path(__file__).parent


def load(name: str, file: Path) -> Any:
    """Run a file as a module of this name, and write nothing beside it."""
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(file)
    exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    return module


frames: Any = load("bench_frames", HERE / "frames.py")


class Pipes:
    """Questions that come, read ahead by a thread that also sees the end of the asking process, and answers."""

    def __init__(self, questions: int, answers: int) -> None:
        self._questions, self._answers = questions, answers
        self.waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="questions", daemon=True).start()

    def send(self, number: int, message: dict[str, Any], array: Any = b"") -> None:
        """Write an answer; a process that nobody listens to ends."""
        try:
            for part in frames.packed(number, message, array):
                rest = memoryview(part)
                while len(rest):
                    rest = rest[os.write(self._answers, rest) :]
        except OSError:
            end()

    def _listen(self) -> None:
        try:
            while True:
                number, of_text, of_array, checksum = frames.lengths(self._read(frames.HEAD.size))
                text, array = self._read(of_text), self._read(of_array)
                self.waiting.put((number, frames.opened(text, array, checksum), array))
        finally:
            end()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while len(rest):
            count = os.readv(self._questions, [rest])
            if count == 0:
                end()
            rest = rest[count:]
        return data


def end() -> None:
    """End this process, and those that it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


class Worker:
    """The encoder that was opened, and what was derived from it, by the steps that lead to each."""

    def __init__(self, pipes: Pipes) -> None:
        self._pipes, self._encoders = pipes, dict[str, Any]()
        self._places: dict[str, tuple[str, bool]] = {}  # device, and whether it was put into evaluation mode
        self._peak, self._measured = ExitStack(), None
        self._kept = ExitStack()  # never closed: what the encoder imports later lies beside it too

    def answer(self, number: int, message: dict[str, Any], array: bytearray) -> None:
        """Answer one question."""
        try:
            answer, values = getattr(self, f"do_{message['do']}")(number, message, array)
        except BaseException as error:  # SystemExit too: an encoder may end, this process answers
            self._pipes.send(number, {"error": told(error)})
            return
        self._pipes.send(number, {"ok": answer}, values)

    def do_open(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Open the encoder, and describe it."""
        packages = installed()  # before anything of the encoder changes where packages are looked for
        with_program = DISTRIBUTION in packages
        if not with_program:
            load("bench_contract", HERE / "contract.py").put_in_place(Path(message["root"]))
        encoder = self._encoders["[]"] = opened(message, self._kept, with_program=with_program)
        if getattr(encoder, "arrays", "") == "numpy":
            one_thread(message["threadpoolctl"])
        lines = "\n".join(f"{name}=={version}" for name, version in sorted(packages.items()))
        software = {
            "python": platform.python_version(),
            "packages": len(packages),
            "digest": sha256(lines.encode()).hexdigest(),
            "main": {name: packages[name] for name in MAIN if name in packages},
        }
        return {**described(encoder), "software": software}, b""

    def do_derive(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Make the encoder that the last step leads to; say where that is the same one."""
        steps = message["steps"]
        encoder = self._at(steps)
        return {**described(encoder), "same": encoder is self._at(steps[:-1])}, b""

    def do_forget(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Let go what these steps led to."""
        self._encoders.pop(json.dumps(message["steps"]), None)
        self._places.pop(json.dumps(message["steps"]), None)
        return {}, b""

    def do_fingerprint(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Return the encoder's own fingerprint."""
        return {"fingerprint": str(self._at(message["steps"]).fingerprint())}, b""

    def do_modes(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Return the modules of torch and whether each is in training mode."""
        return {"modes": shared("encoders.fingerprint").module_modes(self._at(message["steps"]))}, b""

    def do_device(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Return the device of a name, with this environment's torch."""
        return {"device": device_of(message["device"], self._at(message["steps"]).arrays)}, b""

    def do_place(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Move the encoder to a device, and put it into evaluation mode where that is asked for."""
        self._placed(message)
        return {}, b""

    def do_embed(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Embed a batch."""
        import numpy as np

        encoder = self._placed(message)
        waveforms = np.frombuffer(array, np.float32).reshape(message["shape"])
        output = shared("encoders.outputs").call_encoder(encoder, waveforms, message["device"] or "cpu")
        values = np.asarray(output.values)
        if values.dtype.kind == "f" and values.dtype.itemsize > 8:
            values = values.astype(np.float64)
        of = {"dtype": values.dtype.name, "shape": list(values.shape), "own": output.dtype, "graph": output.graph}
        if of["dtype"] not in frames.DTYPES:  # which is refused, whatever its values are
            return of, b""
        flat = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1)
        return of, flat.view(np.uint8)

    def do_fit(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Fit the encoder on windows that are asked for one by one."""
        import numpy as np

        open_still = True

        def windows() -> Any:
            while open_still:
                self._pipes.send(number, {"next": True})
                _, message, array = self._pipes.waiting.get()
                if message["do"] != "window":
                    return
                yield np.frombuffer(array, np.float32).reshape(message["shape"])

        try:
            self._at(message["steps"]).fit(windows())
        finally:
            open_still = False
        return {}, b""

    def do_peak(self, number: int, message: dict[str, Any], array: bytearray) -> Any:  # noqa: ARG002
        """Begin to measure the peak of memory, or end and return it."""
        if message["begin"]:
            measuring = shared("encoders.check.speed").peak_of_process(message["device"])
            self._measured = self._peak.enter_context(measuring)
            return {}, b""
        self._peak.close()
        measured: Any = self._measured
        return {"before": measured.before, "after": measured.after}, b""

    def _placed(self, message: dict[str, Any]) -> Any:
        """Return the encoder, on the device and in the mode that a message tells."""
        key, encoder = json.dumps(message["steps"]), self._at(message["steps"])
        device, in_evaluation = message["device"], bool(message["evaluation"])
        before = self._places.get(key)
        if device and (before is None or before[0] != device):
            encoder.to(device)
        if in_evaluation and before != (device, True):
            shared("encoders.fingerprint").set_to_eval(encoder)
        self._places[key] = (device, in_evaluation)
        return encoder

    def _at(self, steps: list[Any]) -> Any:
        """Return the encoder that steps lead to, from the one that was opened."""
        key = json.dumps(steps)
        if key not in self._encoders:
            before, (what, value) = self._at(steps[:-1]), steps[-1]
            if what == "precision":
                self._encoders[key] = before.with_precision(value)
            elif what == "window":
                self._encoders[key] = before.for_window(value)
            else:
                self._encoders[key] = shared("encoders.base").copy_of(before)
        return self._encoders[key]


def shared(name: str) -> Any:
    """Return a module of the contract: this program's where it is installed here, else the one that was lent."""
    return importlib.import_module(f"benchmark.{name}")


def opened(message: dict[str, Any], kept: ExitStack, *, with_program: bool) -> Any:
    """Return the encoder that was asked for, as this program would open it."""
    if with_program:
        return shared("encoders.registry").resolve_one(message["text"], Path(message["home"]), message["options"])
    errors = shared("errors")
    if message["kind"] not in ("file", "class"):
        raise errors.UserError(
            f"{message['text']!r} is opened by this program itself, which is not installed there",
            "Install it there, or write a plug-in (bench encoders new --env NAME)",
        )
    class_files, neighbours = shared("encoders.class_files"), shared("encoders.neighbours")
    settings = shared("encoders.torch_settings")
    with settings.unchanged_defaults(f"the encoder {message['text']!r}"):
        folder = str(Path(message["target"]).parent) if message["kind"] == "file" else str(Path.cwd())
        kept.enter_context(neighbours.importable(folder, message["target"]))
        if message["kind"] == "file":
            module = class_files.module_from(Path(message["target"]))
        else:
            module = imported(message["target"], message["text"])
        return made(class_files.class_in(module, message["class"], message["text"]), message)


def imported(name: str, text: str) -> Any:
    """Return a module of this environment, or of the current folder."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        user_error = shared("errors").UserError
        raise user_error(
            f"cannot import the encoder {text!r}: {shared('system.terminal').said_by(error)}",
            "Install it there, or run the command in the folder that holds it",
        ) from error


def made(made_by: Any, message: dict[str, Any]) -> Any:
    """Return what a class makes of the options that were given as texts."""
    options_of, user_error = shared("encoders.options"), shared("errors").UserError
    options = options_of.constructor_options(made_by, message["options"], message["text"])
    try:
        encoder = made_by(**options)
    except Exception as error:
        if getattr(error, "for_user", False):
            raise
        raise user_error(
            f"the encoder {message['text']!r} cannot be made: {shared('system.terminal').said_by(error)}",
            "Mend its __init__, or its options ('bench --debug run ...' shows the line)",
        ) from error
    return options_of.as_variant(encoder, options) if options else encoder


def described(encoder: Any) -> dict[str, Any]:
    """Return what an encoder declares, as JSON can hold it."""
    base = shared("encoders.base").Encoder
    declared = {name: shown(getattr(encoder, name)) for name in DECLARED if getattr(encoder, name, None) is not None}
    declared.update({name: ["plain", None] for name in DECLARED if name not in declared and hasattr(encoder, name)})
    return {
        "class": type(encoder).__name__,
        "doc": type(encoder).__doc__ or "",
        "notes": [str(note) for note in encoder.notes],
        "declared": declared,
        "fits": type(encoder).fit is not base.fit,
        "parameters": shared("encoders.parameters").parameter_count(encoder),
    }


def shown(value: Any) -> list[Any]:
    """Return a declaration with its kind: JSON knows no tuples, and what it does not know is told by its text."""
    value = shared("encoders.fingerprint").plain(value)
    if isinstance(value, (bool, int, float, str)):
        return ["plain", value]
    if isinstance(value, tuple) and all(isinstance(part, str) for part in value):
        return ["tuple", list(value)]
    return ["other", repr(value)]


def device_of(device: str, arrays: str) -> str:
    """Return torch's name of a device of this environment; an encoder of arrays of numpy needs no torch to know."""
    if arrays == "numpy":
        return "cpu"
    torch: Any = importlib.import_module("torch")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        user_error = shared("errors").UserError
        reason = str(error).splitlines()[0]
        raise user_error(
            f"the device {device!r} cannot be used with its torch {torch.__version__}: {reason}", "Try --device cpu"
        ) from None
    return device


def installed() -> dict[str, str]:
    """Return the version of each package of this environment, by its normalised name; the first on the path counts."""
    packages: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), str(distribution.version))
    return packages


def one_thread(file: str) -> None:
    """Keep numpy's matrix products on one thread, as this program does with encoders of arrays of numpy."""
    try:
        limits: Any = importlib.import_module("threadpoolctl")
    except ImportError:
        limits = load("bench_threadpoolctl", Path(file))
    limits.threadpool_limits(1)


def told(error: BaseException) -> dict[str, Any]:
    """Return an exception as JSON can hold it."""
    cause = error if error.__cause__ is None else error.__cause__
    missing = (cause.name or "") if isinstance(cause, ModuleNotFoundError) else ""
    if getattr(error, "for_user", False) and hasattr(error, "do"):
        user: Any = error
        return {"kind": "user", "what": user.what, "do": user.do, "rows": list(user.rows), "missing": missing}
    where = traceback.extract_tb(error.__traceback__)
    return {
        "kind": "raised",
        "type": type(error).__name__,
        "text": str(error),
        "missing": missing,
        "at": f"{Path(where[-1].filename).name}, line {where[-1].lineno}" if where else "",
        "trace": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
    }


def main(questions: int, answers: int, *, bound: bool) -> None:
    """Answer questions for ever.

    Args:
        questions: The end of the pipe that they come from.
        answers: The end of the pipe that the answers go to.
        bound: Whether the system may end this process as soon as the thread that started it ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other process's, which ends this one
    for descriptor in (questions, answers):
        os.set_inheritable(descriptor, False)
    if bound and sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            end()
    reconfigure: Any = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)  # so that what was said before a crash is seen
    sys.argv[:] = ["encoder"]  # some libraries look for options of their own there
    pipes = Pipes(questions, answers)
    pipes.send(0, {"ok": {"python": platform.python_version()}})
    worker = Worker(pipes)
    while True:
        worker.answer(*pipes.waiting.get())
