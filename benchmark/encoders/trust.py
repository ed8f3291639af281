"""Trust: code of an encoder runs where the user names it, never because a file of data names it.

A record, a probe or a card is data, and may be a stranger's. What it names by a plain name is built in, published here
or of an installed package. Any other name of code in it is shown, with the command that allows it.
"""

from __future__ import annotations

import shlex

from benchmark.encoders.spec import FILE, EncoderSpec, parse, split
from benchmark.errors import UserError

#: What a user is told of any file that can do what a program can.
IS_CODE = "it is code, not data: it can do whatever you can"


def code_in(spec: EncoderSpec) -> str | None:
    """Return what opening an encoder would run, in words; ``None`` where nothing but this program and packages is."""
    target = spec.target
    if spec.kind == "env":
        inner = code_in(parse(spec.inner))
        return f"the program {target}" + (f" and in it {inner}" if inner else "")
    if spec.kind == "file":
        file = FILE.fullmatch(target)
        return f"the Python file {file[1] if file else target}"
    if spec.kind == "class":
        return f"the Python module {target.partition(':')[0]}"
    if spec.kind == "hear":
        return f"the Python module {target}"
    if spec.kind == "torchscript":
        return f"the TorchScript file {target}"
    if spec.kind == "hf" and spec.option("remote_code", bool, default=False):
        return f"the code that comes with the model {target}"
    return None


def refuse_code_of_data(text: str, where: str, command: str) -> None:
    """Refuse an encoder that a file names, where opening it would run what the user did not name.

    Args:
        text: The encoder, or several, as the file names it.
        where: The file, for people.
        command: The command that reads it, to which ``--encoder`` is added.

    Raises:
        UserError: So it is. Nothing of it was looked for or run.
    """
    for part in split(text):
        what = code_in(parse(part))
        if what is not None:
            raise UserError(
                f"{where} says that its encoder is {part!r}, which would run {what}. Nothing was run: {IS_CODE}",
                f"Look at it; if you trust it, name it yourself: {command} --encoder {shlex.quote(part)}",
            )
