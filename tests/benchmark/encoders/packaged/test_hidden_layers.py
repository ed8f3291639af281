"""Layers by hooks: found, counted, and refused where they cannot be told apart."""

import pytest

torch = pytest.importorskip("torch")

from benchmark.encoders.packaged.hidden_layers import captured_layers, check_layer_outputs, find_stack, hidden_in  # noqa: E402
from benchmark.errors import UserError  # noqa: E402


class Encoder(torch.nn.Module):
    def __init__(self, count=3, runs=None, shorter=False):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(count))
        self.norm = torch.nn.LayerNorm(4)
        self.runs, self.shorter = runs, shorter

    def forward(self, hidden):
        for layer in self.layers if self.runs is None else [self.layers[i] for i in self.runs]:
            hidden = layer(hidden)
        return (self.norm(hidden)[:, 1:] if self.shorter else self.norm(hidden),)


class Model(torch.nn.Module):
    def __init__(self, **arguments):
        super().__init__()
        self.conv_layers = torch.nn.ModuleList(torch.nn.Identity() for _ in range(3))
        self.encoder = Encoder(**arguments)

    def forward(self, hidden):
        return self.encoder(hidden)


def heard_of(model, wanted=(0, 1, 2, 3)):
    stack = find_stack(model, 3, None, "mine")
    hidden = torch.randn(2, 5, 4)
    with torch.no_grad(), captured_layers(stack, wanted, lambda x: x) as outputs:
        model(hidden)
    return hidden, stack, outputs


def test_all_are_heard_once_the_first_before_and_the_last_after_the_norm():
    model = Model()
    hidden, stack, outputs = heard_of(model)
    check_layer_outputs(outputs, stack, "mine")
    assert sorted(outputs.values) == [0, 1, 2, 3]
    first = model.encoder.layers[0](hidden)
    assert torch.equal(outputs.values[0], hidden)
    assert torch.equal(outputs.values[1], first)
    assert torch.equal(outputs.values[3], model(hidden)[0])


def test_only_what_is_wanted_is_kept_and_no_hook_stays():
    model = Model()
    _, stack, outputs = heard_of(model, (2,))
    assert list(outputs.values) == [2]
    check_layer_outputs(outputs, stack, "mine")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(("runs", "once"), [((0, 2), 3), ((0, 1, 1, 2), 3)])
def test_a_layer_that_is_skipped_or_run_twice_is_refused(runs, once):
    _, stack, outputs = heard_of(Model(runs=runs))
    with pytest.raises(UserError, match=f"mine gave {once} of its 4 layers"):
        check_layer_outputs(outputs, stack, "mine")


def test_an_owner_that_gives_something_else_is_refused():
    with pytest.raises(UserError, match=r"gives \[2, 4, 4\], not what its last layer gives \(\[2, 5, 4\]\)"):
        heard_of(Model(shorter=True))


def test_stacks_by_their_length_and_their_name():
    model = Model()
    assert find_stack(model, 3, None, "mine").where == "encoder.layers"
    assert find_stack(model, 3, "conv_layers", "mine").owner is model
    for count, where, message in (
        (7, None, r"cannot tell where the 7 layers of mine are.*encoder\.layers \(3\)"),
        (7, "encoder.layers", r"has 3 layers at encoder\.layers, but its configuration says 7"),
        (3, "encoder", "no list of layers at 'encoder'"),
    ):
        with pytest.raises(UserError, match=message):
            find_stack(model, count, where, "mine")


def test_hidden_states_are_found_in_tuples_and_outputs():
    hidden = torch.zeros(1, 2, 3)

    class Output:
        last_hidden_state = hidden

    assert all(hidden_in(found) is hidden for found in (hidden, (hidden, None), [hidden], Output()))
    for wrong in (torch.zeros(2, 3), None, ("a",)):
        with pytest.raises(UserError, match="without hidden states"):
            hidden_in(wrong)
