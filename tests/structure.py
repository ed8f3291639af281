"""Print what the layers of the packages cost a reader: the longest chain of imports, and who is handed options.

python tests/structure.py
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("benchmark", "tasks", "probes", "results")


def longest_chain() -> list[str]:
    """Return the longest chain of imports, module by module; imports inside functions count, those for types do not.

    Raises:
        RecursionError: There is a circle of imports.
    """
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)

    @cache
    def below(module: str) -> tuple[str, ...]:
        chains = (below(imported) for imported in graph.find_modules_directly_imported_by(module))
        return (module, *max(chains, key=len, default=()))

    return list(max((below(module) for module in sorted(graph.modules)), key=len))


def handed_options() -> list[str]:
    """Return the functions of benchmark that take the options of a run, as ``path:name``."""
    found = []
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                kinds = [ast.unparse(each.annotation) for each in arguments if each.annotation is not None]
                if "Options" in kinds:
                    found.append(f"{path.relative_to(ROOT)}:{node.name}")
    return found


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder, whose packages of tests bear the same names
    chain, functions = longest_chain(), handed_options()
    print(f"{len(chain)} modules in the longest chain of imports: {' > '.join(chain)}")
    print(f"{len(functions)} functions are handed options: {', '.join(functions)}")
