"""Hidden states of a transformer by forward hooks: the input of the first layer and the output of each.

Hooks are used because transformers from 5.20 on no longer returns hidden states of encoders inside remote code. Layer 0
is the input of the first layer; layer n is the output of the module that owns the layers, because with stable layer
norm a norm follows them. So a model of n layers gives n + 1 outputs, and fewer is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmark.errors import UserError

USUAL_NAMES = ("layers", "layer", "blocks")


@dataclass(frozen=True)
class Stack:
    """The layers of a model, and the module that runs them in order.

    Attributes:
        where: Path of the layers in the model, for messages.
        owner: The module whose output is the last layer's, normalised where the model does so.
        layers: The layers in order.
    """

    where: str
    owner: Any
    layers: Sequence[Any]


@dataclass
class LayerOutputs:
    """The captured output of each layer, by its number from 0 to n, and how often each layer ran."""

    values: dict[int, Any] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)


def find_stack(model: Any, layers: int, where: str | None, who: str) -> Stack:
    """Return the stack of ``layers`` layers in ``model``.

    Args:
        model: A torch module.
        layers: The number of layers in its configuration.
        where: Path of the list of layers; ``None`` takes the only list of that length with a usual name.
        who: The encoder, for messages.

    Raises:
        UserError: There is no such list, several, or one of another length.
    """
    import torch

    lists = {name: modules for name, modules in model.named_modules() if isinstance(modules, torch.nn.ModuleList)}
    if where is None:
        # By its name too: a convolutional front end may be as deep.
        fitting = [
            name for name, modules in lists.items() if len(modules) == layers and name.rpartition(".")[2] in USUAL_NAMES
        ]
        if len(fitting) != 1:
            candidates = ", ".join(f"{name} ({len(modules)})" for name, modules in lists.items())
            raise UserError(
                f"cannot tell where the {layers} layers of {who} are: its lists of modules are {candidates or 'none'}",
                "Name one with layers_at=PATH",
            )
        where = fitting[0]
    if where not in lists:
        raise UserError(
            f"{who} has no list of layers at {where!r}",
            f"name one that it has with layers_at=PATH: {', '.join(lists) or 'none'}",
        )
    if len(lists[where]) != layers:
        raise UserError(
            f"{who} has {len(lists[where])} layers at {where}, but its configuration says {layers}: this version of "
            "transformers builds it differently from its authors",
            "Install the version of transformers that its config.json names, or leave layers_at out",
        )
    owner, _, _ = where.rpartition(".")
    return Stack(where, model.get_submodule(owner), list(lists[where]))


@contextmanager
def captured_layers(stack: Stack, wanted: Sequence[int], keep: Callable[[Any], Any]) -> Iterator[LayerOutputs]:
    """Capture ``keep(hidden [B, T, D])`` of the ``wanted`` layers while the model runs.

    Args:
        stack: The layers.
        wanted: Numbers from 0 to n.
        keep: Applied at once, such as a mean over frames, so that no frames stay in memory.
    """
    outputs, last = LayerOutputs(), len(stack.layers)
    shape: list[Any] = []

    def note(number: int, hidden: Any) -> None:
        outputs.times[number] = outputs.times.get(number, 0) + 1
        if number in wanted:
            outputs.values[number] = keep(hidden)

    def before(_: Any, positional: Any, named: Any) -> None:
        note(0, positional[0] if positional else named["hidden_states"])

    def after(number: int) -> Callable[[Any, Any, Any], None]:
        def hook(_: Any, __: Any, output: Any) -> None:
            hidden = hidden_in(output)
            if number == last:  # the owner's output is the last one; this tells its shape
                shape[:] = [hidden.shape]
            else:
                note(number, hidden)

        return hook

    def whole(_: Any, __: Any, output: Any) -> None:
        hidden = hidden_in(output)
        if not shape or hidden.shape != shape[0]:
            raise UserError(
                f"the module around {stack.where} gives {list(hidden.shape)}, not what its last layer gives "
                f"({list(shape[0]) if shape else 'it never ran'})",
                "name the right layers with layers_at=PATH",
            )
        note(last, hidden)

    with ExitStack() as handles:
        hooks = [stack.layers[0].register_forward_pre_hook(before, with_kwargs=True)]
        hooks += [layer.register_forward_hook(after(i + 1)) for i, layer in enumerate(stack.layers)]
        hooks.append(stack.owner.register_forward_hook(whole))
        for hook in hooks:
            handles.callback(hook.remove)
        yield outputs


def check_layer_outputs(outputs: LayerOutputs, stack: Stack, who: str) -> None:
    """Check that every layer ran exactly once.

    Raises:
        UserError: One did not.
    """
    expected = len(stack.layers) + 1
    if sorted(outputs.times) != list(range(expected)) or set(outputs.times.values()) != {1}:
        once = sum(times == 1 for times in outputs.times.values())
        raise UserError(
            f"{who} gave {once} of its {expected} layers (the {len(stack.layers)} of {stack.where}, and their input): "
            "it does not run each of them once, so no layer can be told from another",
            "Leave layer out, which takes its output alone",
        )


def hidden_in(output: Any) -> Any:
    """Return the hidden states [B, T, D] in what a module returned.

    Raises:
        UserError: There are none.
    """
    hidden = getattr(output, "last_hidden_state", output)
    if isinstance(hidden, tuple | list):
        hidden = hidden[0]
    if getattr(hidden, "ndim", 0) != 3:
        raise UserError(
            f"a layer gave a {type(output).__name__} without hidden states [batch, frames, width]",
            "name the right layers with layers_at=PATH",
        )
    return hidden
