"""The public names of ``benchmark``: all there, light to import, and none hidden by a sub-package."""

import pkgutil
import subprocess
import sys

import pytest

import benchmark


def test_every_public_name_is_there_and_documented():
    for name in benchmark.__all__:
        assert getattr(benchmark, name)
        assert name in dir(benchmark)
        if name != "__version__":
            assert getattr(benchmark, name).__doc__


def test_no_public_name_is_that_of_a_sub_package_or_module():
    """Importing ``benchmark.NAME`` would put the module in the place of the function."""
    modules = {module.name for module in pkgutil.iter_modules(benchmark.__path__)}
    assert modules
    assert not modules & set(benchmark.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'benchmark' has no attribute 'load_result'"):
        _ = benchmark.load_result


def test_importing_benchmark_imports_no_library():
    code = "import benchmark, sys; print([m for m in ('numpy', 'pandas', 'torch', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_lists_need_neither_torch_nor_pandas():
    code = (
        "import benchmark, sys; benchmark.list_tasks(); benchmark.list_encoders(); "
        "print([m for m in ('torch', 'pandas', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
