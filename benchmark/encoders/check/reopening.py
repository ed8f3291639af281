"""A second opening of an encoder in another process, which shows state that no file holds."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmark.encoders.check.rules import Reopened
from benchmark.errors import UserError
from benchmark.system.interpreter import python_code

CODE = "from benchmark.encoders.check.reopening import answer; answer(sys.argv[1])"
ANSWER = "answer.npz"
SAID = 300  # characters of the last line that the process wrote


@dataclass(frozen=True)
class Named:
    """How an encoder is named: everything that opens it again.

    Attributes:
        text: As for ``--encoder``.
        arguments: ``k=v``, its options.
        home: The data home.
        device: torch's name of the device.
    """

    text: str
    arguments: tuple[str, ...]
    home: str
    device: str


def reopened(named: Named, count: int, samples: int) -> Reopened:
    """Open the encoder in another process and embed ``count`` made-up sounds of ``samples`` there.

    Raises:
        UserError: It cannot be opened, or does not run, a second time.
    """
    with tempfile.TemporaryDirectory(prefix="bench-reopened-") as folder:
        request = {**asdict(named), "count": count, "samples": samples, "folder": folder}
        done = subprocess.run(
            python_code(CODE, json.dumps(request)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False,
        )  # fmt: skip
        file = Path(folder) / ANSWER
        if done.returncode != 0 or not file.is_file():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
            raise UserError(
                f"a second opening, in a process of its own, failed: {lines[-1][-SAID:]}",
                "mend what the encoder needs when it is opened anew",
            )
        with np.load(file, allow_pickle=False) as arrays:
            return Reopened(str(arrays["fingerprint"]), arrays["rows"])


def answer(text: str) -> None:
    """Answer one question of :func:`reopened`; the other process calls this."""
    from benchmark.encoders.check.check import fitted_for_check
    from benchmark.encoders.check.sounds import sounds
    from benchmark.encoders.check.subject import Subject
    from benchmark.encoders.registry import resolve
    from benchmark.encoders.windowing import window_rule
    from benchmark.system.machine import threads_for

    request = json.loads(text)
    arguments: Sequence[str] = request["arguments"]
    try:
        (encoder,) = resolve(request["text"], Path(request["home"]), arguments=arguments)
        with threads_for(encoder.arrays):
            windows = window_rule(encoder, None, None)
            if encoder.fitted:
                encoder = fitted_for_check(encoder, windows)
            fingerprint = encoder.fingerprint()
            encoder.to(request["device"])
            made = sounds(request["count"], request["samples"], encoder.sample_rate, encoder.channels)
            rows = Subject(encoder, request["device"], windows).rows(made)
    except UserError as error:
        print(str(error).splitlines()[0], file=sys.stderr)
        sys.exit(2)
    np.savez(Path(request["folder"]) / ANSWER, fingerprint=np.array(fingerprint), rows=rows)
