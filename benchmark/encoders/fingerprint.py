"""Fingerprints: attributes, weights and plug-in code of an encoder as JSON to hash."""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import inspect
import json
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from benchmark.errors import UserError
from benchmark.system.files import content_hash

#: Packages whose modules are not the user's, wherever they are installed.
NOT_FOLLOWED = frozenset({"benchmark", "torch"})


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


def own_files(module: ModuleType | None) -> list[Path]:
    """Return the file of a module and, through its import statements, of every module of the user's, by module name.

    Imports inside functions count, too: what they name is looked for where Python would, and beside the module's file,
    and is not imported.
    """
    file = _file_of(module)
    if module is None or file is None:
        return []
    files: dict[str, Path] = {}
    waiting = [(module.__name__, module.__package__, file)]
    while waiting:
        name, package, source = waiting.pop()
        if name in files:
            continue
        files[name] = source
        for imported in _imported(source, package):
            location = _located(imported, file.parent)
            if location is not None:
                waiting.append((imported, *location))
    return [files[name] for name in sorted(files)]


def _imported(file: Path, package: str | None) -> list[str]:
    """Return the full names of what a file's import statements may import."""
    try:
        return _imports(file.read_bytes(), package)
    except (SyntaxError, ValueError, OSError):
        return []


@lru_cache(maxsize=256)  # by content: a file with many encoders is asked about for each, and parsed once
def _imports(source: bytes, package: str | None) -> list[str]:
    """Return the full names of what a module's source may import.

    Raises:
        SyntaxError: It is no Python.
        ValueError: Likewise.
    """
    tree = ast.parse(source)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            if node.level and package:
                try:
                    base = importlib.util.resolve_name(base, package)
                except ImportError:  # beyond the outermost package
                    continue
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def _located(name: str, beside: Path) -> tuple[str | None, Path] | None:
    """Return the package and the file of a module of the user's, loaded or not; ``None`` of any other."""
    top = name.partition(".")[0]
    if not top or top in NOT_FOLLOWED:
        return None
    module = sys.modules.get(name)
    if module is not None:
        file = _file_of(module)
        return None if file is None else (module.__package__, file)
    if top in getattr(sys, "stdlib_module_names", ()):  # from Python 3.10 on
        return None
    try:
        spec = _spec(name, beside)
    except Exception:  # whatever finders raise: what cannot be found cannot be imported either
        return None
    file = None if spec is None else _own(spec.origin)
    return None if spec is None or file is None else (spec.parent, file)


def _spec(name: str, beside: Path) -> importlib.machinery.ModuleSpec | None:
    """Find a module that is not loaded, and load nothing: importlib.util.find_spec would import its packages."""
    parent = name.rpartition(".")[0]
    if not parent:
        spec = importlib.util.find_spec(name)
        if spec is None or _own(spec.origin) is None:
            spec = importlib.machinery.PathFinder.find_spec(name, [str(beside)]) or spec
        return spec
    package = sys.modules.get(parent)
    if package is not None:
        folders = getattr(package, "__path__", None)
    else:
        folders = getattr(_spec(parent, beside), "submodule_search_locations", None)
    return None if folders is None else importlib.machinery.PathFinder.find_spec(name, folders)


def _file_of(module: ModuleType | None) -> Path | None:
    """Return the file of a module that is the user's: neither the standard library's nor an installed package's."""
    return _own(getattr(module, "__file__", None))


def _own(name: str | None) -> Path | None:
    if not name or not name.endswith(".py"):
        return None
    file = Path(name).resolve()
    if "site-packages" in file.parts or not _installed().isdisjoint(file.parents) or not file.is_file():
        return None
    return file


@cache
def _installed() -> frozenset[Path]:
    """Return the folders of the standard library and of installed packages."""
    folders = sysconfig.get_paths().items()
    return frozenset(Path(path).resolve() for key, path in folders if key.endswith(("lib", "stdlib")))


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


def plain(value: Any) -> Any:
    """Return a declaration as Python writes it: a number of numpy is the same declaration."""
    return value.item() if isinstance(value, np.generic) else value


def is_module(value: Any) -> bool:
    """Say whether ``value`` is a torch module, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def describe(value: Any, where: str) -> Any:
    """Return ``value`` as a JSON value that differs where ``value`` differs.

    Args:
        value: A value that JSON knows, bytes, a path (its content counts), an array, a tensor, a module, or a
            collection of these.
        where: The attribute that holds it, for messages.

    Raises:
        UserError: It is something else.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    data = _describe_data(value)
    if data is not None:
        return data
    if is_module(value):
        return describe_module(value, where)
    if isinstance(value, Mapping):
        return {str(key): describe(item, where) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((describe(item, where) for item in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [describe(item, where) for item in value]
    raise UserError(
        f"cannot tell when {where} changes (it is a {type(value).__name__}), so its embeddings could not be cached "
        "safely",
        "define fingerprint() in the encoder, keep the file it was loaded from in a pathlib.Path attribute, whose "
        "content is hashed, and name this attribute in not_in_fingerprint; or only the latter, if it changes no "
        "number",
    )


def _describe_data(value: Any) -> Any:
    """Return bytes, a path, an array or a tensor as JSON: type, shape and hash of the content; ``None`` of others."""
    torch = sys.modules.get("torch")
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
    if torch is not None and isinstance(value, (torch.dtype, torch.device)):
        return str(value)
    return None


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
    modules = []
    for value in values.values() if isinstance(values, Mapping) else values:
        if is_module(value):
            modules.append(value)
        elif isinstance(value, (list, tuple, Mapping)):
            modules += modules_in(value)
    return modules


def module_modes(encoder: Any) -> list[tuple[str, bool]]:
    """Return the type's name of each torch module of an encoder, each once, and whether it is in training mode."""
    roots = [*([encoder] if is_module(encoder) else []), *modules_in(list(vars(encoder).values()))]
    modules = {id(part): part for root in roots for part in root.modules()}.values()
    return [(type(part).__name__, bool(part.training)) for part in modules]


def set_to_eval(encoder: Any) -> None:
    """Put an encoder that is a torch module, and those among its attributes, into evaluation mode."""
    if hasattr(encoder, "eval"):
        encoder.eval()
    for module in modules_in(list(vars(encoder).values())):
        with suppress(NotImplementedError):  # exported programs, whose mode is fixed
            module.eval()
