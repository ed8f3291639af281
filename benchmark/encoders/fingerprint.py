"""What an encoder is made of, as text to hash: attributes, weights, and the code behind a plug-in."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from benchmark.audio import content_hash
from benchmark.errors import UserError


def source_digest(cls: type) -> str:
    """Return the sha256 of the code behind a class: files with the user's modules that they import, or its own bodies.

    The names of the class and of its bases count too. A class of a notebook has no file; then its members are hashed,
    and the code that they call is not.
    """
    digest = hashlib.sha256()
    for base in cls.__mro__:
        module = sys.modules.get(base.__module__)
        if base is object or base.__module__.startswith(("benchmark.", "torch.")) or base.__module__ == "builtins":
            continue
        digest.update(base.__qualname__.encode())  # a file may hold several encoders of one name
        files = own_files(module)
        for file in files:
            digest.update(file.read_bytes())
        if files:
            continue
        try:
            digest.update(inspect.getsource(base).encode())
        except (OSError, TypeError, SyntaxError):
            digest.update(_bytecode(base))
    return digest.hexdigest()


def own_files(module: ModuleType | None, seen: dict[str, Path] | None = None) -> list[Path]:
    """Return the file of a module and, through its import statements, of every module of the user's, by module name."""
    seen = {} if seen is None else seen
    file = _file_of(module)
    if module is None or file is None or module.__name__ in seen:
        return [seen[name] for name in sorted(seen)]
    seen[module.__name__] = file
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return [seen[name] for name in sorted(seen)]
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = "." * node.level + (node.module or "")
            base = (
                importlib.util.resolve_name(parent, module.__package__) if node.level and module.__package__ else parent
            )
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if name and not name.startswith(("benchmark", "torch", ".")):
                own_files(sys.modules.get(name), seen)
    return [seen[name] for name in sorted(seen)]


def _file_of(module: ModuleType | None) -> Path | None:
    """Return the file of a module that is the user's: neither the standard library's nor an installed package's."""
    name = getattr(module, "__file__", None)
    if not name or not name.endswith(".py"):
        return None
    file = Path(name).resolve()
    installed = {Path(path).resolve() for key, path in sysconfig.get_paths().items() if key.endswith(("lib", "stdlib"))}
    if "site-packages" in file.parts or any(folder in file.parents for folder in installed) or not file.is_file():
        return None
    return file


def _bytecode(cls: type) -> bytes:
    members = {name: value for name, value in sorted(vars(cls).items()) if callable(value) or name[:2] != "__"}
    return json.dumps({name: _code(value) for name, value in members.items()}).encode()


def _code(value: Any) -> Any:
    """Return a member of a class, or a constant of its code, as JSON that changes when it does."""
    value = getattr(value, "__func__", value)
    if isinstance(value, property):
        return [_code(part) for part in (value.fget, value.fset)]
    code = value if isinstance(value, CodeType) else getattr(value, "__code__", None)
    if code is not None:
        defaults = [getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
        return [code.co_code.hex(), code.co_names, [_code(part) for part in (*code.co_consts, *defaults)]]
    try:
        return describe(value, "")
    except UserError:
        return type(value).__name__


def is_module(value: Any) -> bool:
    """Say whether ``value`` is a torch module, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def describe(value: Any, where: str) -> Any:
    """Return ``value`` as something that JSON can hold and that changes when ``value`` does."""
    torch = sys.modules.get("torch")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Path):
        if value.is_dir():
            files = sorted(file for file in value.rglob("*") if file.is_file())
            return [[file.relative_to(value).as_posix(), content_hash(file)] for file in files]
        return content_hash(value) if value.is_file() else str(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [str(value.dtype), list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, np.generic):
        return repr(value)
    if torch is not None and isinstance(value, torch.Tensor):
        data = value.detach().cpu().contiguous()
        raw = data.flatten().view(torch.uint8).numpy() if data.numel() else np.zeros(0, np.uint8)
        return [str(data.dtype), list(data.shape), hashlib.sha256(raw.tobytes()).hexdigest()]
    if is_module(value):
        return describe_module(value, where)
    if torch is not None and isinstance(value, torch.dtype | torch.device):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): describe(item, where) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((describe(item, where) for item in value), key=repr)
    if isinstance(value, list | tuple):
        return [describe(item, where) for item in value]
    raise UserError(
        f"cannot tell when {where} changes (it is a {type(value).__name__}), so its embeddings could not be cached "
        "safely: define fingerprint() in the encoder, or name the attribute in not_in_fingerprint"
    )


def describe_module(module: Any, where: str, leave_out: tuple[str, ...] = (), *, itself: bool = True) -> list[Any]:
    """Return what a torch module is: its text, its tensors (unsaved buffers too), and the user's own parts of it.

    Args:
        module: The module.
        where: Its name, for messages.
        leave_out: Attributes of parts that do not count.
        itself: Whether the attributes of the outermost module count, or are told by somebody else.
    """
    tensors = [*module.state_dict().items(), *module.named_buffers()]
    parts = {
        name: _describe_part(part, leave_out)
        for name, part in module.named_modules()
        if (itself or part is not module) and _file_of(sys.modules.get(type(part).__module__))
    }
    return [repr(module), {name: describe(tensor, where) for name, tensor in tensors}, parts]


def _describe_part(module: Any, leave_out: tuple[str, ...]) -> list[Any]:
    """Return what a user's own module has beside tensors and parts: its plain attributes, and the code behind it.

    Modules of installed packages show their settings in their text; what they keep while they run is not looked at.
    """
    common = vars(sys.modules["torch"].nn.Module())
    plain: dict[str, Any] = {}
    for name, value in sorted(vars(module).items()):
        if name in common or name in leave_out or is_module(value):
            continue
        try:
            plain[name] = describe(value, name)
        except UserError:
            text = repr(value)
            plain[name] = type(value).__name__ if " at 0x" in text else text
    return [plain, source_digest(type(module))]


def modules_in(values: Any) -> list[Any]:
    """Return the torch modules among ``values``, in lists, tuples and mappings too."""
    found = []
    for value in values.values() if isinstance(values, Mapping) else values:
        if is_module(value):
            found.append(value)
        elif isinstance(value, list | tuple | Mapping):
            found += modules_in(value)
    return found
