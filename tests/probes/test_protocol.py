import pytest

from probes.protocol import protocol_for


def test_a_task_without_a_section_follows_the_default():
    assert protocol_for("no_such_task").name == "default"
    assert protocol_for("no_such_task", "demo").name == "demo"


def test_the_default_ranges_are_the_documented_ones():
    protocol = protocol_for("anything")
    assert protocol.learning_rate == (1e-5, 1e-2)
    assert protocol.l2 == (1e-7, 1e-2)
    assert protocol.standardise == (True, False)


@pytest.mark.parametrize("name", ["default", "demo"])
def test_every_section_is_coherent(name):
    protocol = protocol_for(name)
    for low, high in (protocol.learning_rate, protocol.l2, protocol.steps):
        assert 0 < low < high
    assert protocol.trials >= 1
    assert protocol.seeds >= 1
