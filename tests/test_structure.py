"""The packages stay easy to enter: short chains of imports, and options that are asked once."""

import tests.structure as structure


def test_chains_of_imports_are_short():
    chain = structure.longest_chain()
    assert chain[0] == "benchmark.__main__"
    assert len(chain) <= 17


def test_few_functions_are_handed_options():
    assert len(structure.handed_options()) <= 12
