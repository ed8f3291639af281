"""State of a Hugging Face model that no file holds: buffers outside its state dictionary, and plain tensors.

transformers builds every model on the meta device, where tensors have shapes and no values, and gives such buffers
fresh memory afterwards. Models of its own fill it in their ``_init_weights``; code that comes with a model does not
know that it has to. So the model is built once more from its configuration with real buffers, which are copied. A
second such build, under other seeds and other fresh memory, shows what configuration and code do not decide.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.encoders.fingerprint import describe
from benchmark.errors import UserError
from benchmark.system.terminal import said_by

#: Where transformers puts the code that comes with models.
REMOTE_MODULES = "transformers_modules."
NAMED = 5  # tensors in a message
SEEDS = (0, 1)


def restore(model: Any, lacking: frozenset[str], who: str) -> None:
    """Give ``model`` the buffers and plain tensors that building it computes; nothing changes where they are right.

    Args:
        model: A model that transformers loaded. Its parameters are taken as they are.
        lacking: Saved buffers that its files lack and that it says it computes itself.
        who: The encoder, for messages.

    Raises:
        UserError: The model cannot be built from its configuration alone, something of it has no value even then, or
            two builds differ: it is named.
    """
    names = _unsaved_buffers(model) | lacking
    plain = _plain_tensors(model)
    if not names and not plain:
        return
    built, again = (_built(model, seed, names, who) for seed in SEEDS)
    values, others = _values(built, names), _values(again, names)
    moving = [name for name, value in values.items() if value is not None and value != others.get(name)]
    if moving:
        raise UserError(
            f"{who} keeps {_listed(moving)}, which no file holds and which come out otherwise each time it is built "
            "(drawn at random without a seed, or never filled), so its embeddings could not be made again",
            "Save the model with them among its weights, or write a plug-in that sets them ('bench encoders new')",
        )
    modules = dict(built.named_modules())
    for name in sorted(names):
        owner, _, key = name.rpartition(".")
        value = modules[owner]._buffers.get(key) if owner in modules else None
        if value is not None:
            model.get_submodule(owner)._buffers[key] = value.clone()
    _copy_plain(model, modules)
    unknown = [name for name, tensor in _all_tensors(model) if tensor.is_meta]
    unknown += [name for name in names if values.get(name) is None and name not in unknown]
    if unknown:
        raise UserError(
            f"{who} keeps {_listed(unknown)}, which no file holds and which building it from its configuration does "
            "not give: its numbers would be of memory that nobody filled",
            "Write a plug-in that sets them ('bench encoders new')",
        )


@contextmanager
def weights_left_alone(base: Any) -> Iterator[None]:
    """Keep code that comes with a model from drawing its weights anew after they were read.

    transformers lets a module initialise itself again where not all of it was read, and such code writes over all.

    Args:
        base: transformers' ``PreTrainedModel``.
    """
    initialize = base.initialize_weights

    def of_natives(model: Any) -> None:
        if not type(model).__module__.startswith(REMOTE_MODULES):
            initialize(model)

    base.initialize_weights = of_natives
    try:
        yield
    finally:
        base.initialize_weights = initialize


@contextmanager
def every_lack_told(base: Any, ignored: set[str]) -> Iterator[None]:
    """Let transformers report weights that its files lack though the model says to ignore that; note those patterns."""
    adjust = base._adjust_missing_and_unexpected_keys

    def told(model: Any, info: Any) -> Any:
        ignored.update(getattr(model, "_keys_to_ignore_on_load_missing", None) or ())
        model._keys_to_ignore_on_load_missing = set()
        return adjust(model, info)

    base._adjust_missing_and_unexpected_keys = told
    try:
        yield
    finally:
        base._adjust_missing_and_unexpected_keys = adjust


def _unsaved_buffers(model: Any) -> frozenset[str]:
    """Return the names of the buffers that are no part of the model's state, of shared modules once a place."""
    return frozenset(
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules(remove_duplicate=False)
        for name in module._non_persistent_buffers_set
        if module._buffers.get(name) is not None
    )


def _built(model: Any, seed: int, names: frozenset[str], who: str) -> Any:
    """Return the model built from its configuration, with real buffers; with parameters on meta where that will do."""
    made_by: Callable[[Any], Any] = type(model)
    try:
        with _fresh(seed), _parameters_on_meta():
            built = made_by(copy.deepcopy(model.config))
        buffers = dict(built.named_buffers(remove_duplicate=False))
        if not any(name in buffers and buffers[name].is_meta for name in names):
            return built
    except Exception:  # code that runs a part of itself while it is built needs real parameters
        built = None
    try:
        with _fresh(seed):
            return made_by(copy.deepcopy(model.config))
    except Exception as error:  # whatever the code does
        raise UserError(
            f"{who} keeps tensors that no file holds, and cannot be built from its configuration alone to compute "
            f"them ({said_by(error)})",
            "write a plug-in for it ('bench encoders new')",
        ) from error


@contextmanager
def _fresh(seed: int) -> Iterator[None]:
    """Build in float32 on the CPU under a seed, and leave no trace; fresh memory is filled, but under seed 0."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - what foreign code draws from
    memory: Any = torch.utils.deterministic
    dtype, fill = torch.get_default_dtype(), memory.fill_uninitialized_memory
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    state = torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        memory.fill_uninitialized_memory = True
        torch.use_deterministic_algorithms(bool(seed), warn_only=True)
        with torch.device("cpu"):
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        memory.fill_uninitialized_memory = fill
        torch.set_default_dtype(dtype)
        torch.set_rng_state(state)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Let modules that are made keep no values of their parameters, which would take the model's memory once more."""
    register = nn.Module.register_parameter

    def without_values(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        if type(param) is nn.Parameter:
            self._parameters[name] = nn.Parameter(param.to("meta"), requires_grad=param.requires_grad)

    nn.Module.register_parameter = without_values  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def _values(model: Any, names: frozenset[str]) -> dict[str, Any]:
    """Return what the wanted buffers and the plain tensors of a build are, as digests; ``None`` where on meta."""
    buffers = dict(model.named_buffers(remove_duplicate=False))
    tensors = {name: buffers[name] for name in names if name in buffers} | _plain_tensors(model)
    return {name: None if tensor.is_meta else describe(tensor, name) for name, tensor in tensors.items()}


def _all_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)
    yield from _plain_tensors(model).items()


def _plain_tensors(model: Any) -> dict[str, Tensor]:
    """Return the tensors among the plain attributes of all modules, in lists, mappings and objects of remote code too.

    A network in a plain list is no part of the model for torch; its tensors are plain ones here.
    """
    modules = dict(model.named_modules())
    known = {id(module) for module in modules.values()}
    known |= {id(tensor) for _, tensor in (*model.named_parameters(), *model.named_buffers())}
    return dict(
        named_tensor
        for prefix, module in modules.items()
        for key, value in _plain_attributes(module).items()
        for named_tensor in _tensors_in(value, f"{prefix}.{key}" if prefix else key, known)
    )


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """Return the attributes that torch does not know; not a weight that a hook makes of its parts at every call."""
    common = vars(nn.Module())
    made = {getattr(hook, "name", None) for hook in module._forward_pre_hooks.values()}
    return {key: value for key, value in vars(module).items() if key not in common and key not in made}


def _tensors_in(value: Any, where: str, known: set[int]) -> Iterator[tuple[str, Tensor]]:
    if id(value) in known:
        return
    if isinstance(value, Tensor):
        yield where, value
        return
    parts = _parts(value)
    if parts:
        known.add(id(value))
        for key, part in parts.items():
            yield from _tensors_in(part, f"{where}.{key}", known)


def _parts(value: Any) -> dict[Any, Any]:
    """Return what a container, a network outside the model or an object of remote code holds, by name."""
    if isinstance(value, nn.Module):
        return {**value._parameters, **value._buffers, **value._modules, **_plain_attributes(value)}
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if isinstance(value, Mapping):
        return dict(value)
    if type(value).__module__.startswith(REMOTE_MODULES) and hasattr(value, "__dict__"):
        return dict(vars(value))
    return {}


def _copy_plain(model: Any, built: Mapping[str, nn.Module]) -> None:
    """Replace the plain tensors of ``model`` that have no values by those of the modules that were built."""
    for prefix, module in model.named_modules():
        other = _plain_attributes(built[prefix]) if prefix in built else {}
        for key, value in _plain_attributes(module).items():
            tensors = dict(_tensors_in(value, key, {id(part) for part in model.modules()}))
            if key in other and any(tensor.is_meta for tensor in tensors.values()):
                vars(module)[key] = _filled(value, other[key], set())


def _filled(value: Any, other: Any, seen: set[int]) -> Any:
    """Return ``value`` with the values of ``other`` in place of tensors without any."""
    if isinstance(value, Tensor):
        return other.clone() if isinstance(other, Tensor) and value.is_meta and not other.is_meta else value
    if type(value) is not type(other) or id(value) in seen:
        return value
    seen.add(id(value))
    if isinstance(value, list | tuple) and len(value) == len(other):
        parts = [_filled(first, second, seen) for first, second in zip(value, other, strict=True)]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        for key in value:
            value[key] = _filled(value[key], other.get(key), seen)
    elif not isinstance(value, nn.Module) and _parts(value):
        for key, part in vars(value).items():
            vars(value)[key] = _filled(part, vars(other).get(key), seen)
    return value


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
