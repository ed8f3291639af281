"""The teacher: what it averages, what it copies, and that nothing trains it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.pretraining.networks.batch_norm import BatchNorm
from benchmark.pretraining.networks.table import build
from benchmark.pretraining.strategies.teacher import Teacher, momentum_at


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), BatchNorm(4), nn.Dropout(0.5))


def moved(student: nn.Module) -> nn.Module:
    """Change every number of a student, as some steps do."""
    dtype = next(student.parameters()).dtype
    student(torch.randn(8, 3, dtype=dtype) + 2)
    student(torch.randn(8, 3, dtype=dtype) - 1)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    return student


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_a_momentum_of_0_copies_everything() -> None:
    student = small()
    teacher = Teacher(student)
    teacher.follow(moved(student), 0.0)
    assert_equal(state(teacher.module), state(student))


def test_a_momentum_of_1_leaves_all_but_counts() -> None:
    student = small()
    teacher = Teacher(student)
    before = state(teacher.module)
    teacher.follow(moved(student), 1.0)
    count = before.pop("1.num_batches_tracked")
    after = state(teacher.module)
    assert (int(count), int(after.pop("1.num_batches_tracked"))) == (0, 2)
    assert_equal(after, before)


def test_between_them_numbers_are_averaged_running_statistics_too() -> None:
    student = small().double()
    teacher = Teacher(student)
    before = state(teacher.module)
    teacher.follow(moved(student), 0.75)
    for name, tensor in state(student).items():
        expected = 0.75 * before[name] + 0.25 * tensor if tensor.is_floating_point() else tensor
        torch.testing.assert_close(teacher.module.state_dict()[name], expected, rtol=0, atol=1e-12)


def test_after_many_steps_it_is_the_average_of_the_students() -> None:
    student = nn.Linear(2, 1, bias=False).double()
    nn.init.zeros_(student.weight)
    teacher = Teacher(student)
    nn.init.ones_(student.weight)
    for _ in range(10):
        teacher.follow(student, 0.9)
    torch.testing.assert_close(teacher.module.weight, torch.full((1, 2), 1 - 0.9**10, dtype=torch.float64))


def test_it_has_no_gradients_and_gives_none() -> None:
    student = small()
    teacher = Teacher(student)
    inputs = torch.randn(5, 3, requires_grad=True)
    assert not teacher(inputs).requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.module.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_it_takes_the_statistics_of_the_batch_and_keeps_its_own() -> None:
    student = small()
    teacher = Teacher(student)
    rows = torch.randn(64, 3) + 5
    found = teacher(rows)
    torch.testing.assert_close(found.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    assert torch.equal(teacher.module[1].running_mean, torch.zeros(4))
    assert student[1].momentum == 0.1
    assert torch.equal(found, teacher(rows))  # no dropout


def test_stochastic_depth_does_not_act_in_it() -> None:
    network = build("sf-nfnet-tiny", 0.9)
    for name, parameter in network.named_parameters():
        if name.endswith("skip_gain"):
            nn.init.constant_(parameter, 0.5)
    teacher, crops = Teacher(network.train()), torch.rand(4, 96, 32)
    assert torch.equal(teacher(crops), teacher(crops))
    assert not torch.equal(network(crops), network(crops))


def test_of_a_student_in_half_precision_it_is_in_float32() -> None:
    student = nn.Linear(2, 1).to(torch.bfloat16)
    teacher = Teacher(student)
    assert teacher.module.weight.dtype == torch.float32
    nn.init.ones_(student.weight)
    nn.init.zeros_(teacher.module.weight)
    teacher.follow(student, 0.9995)  # 1 - 0.9995 beside 1 is lost in bfloat16
    torch.testing.assert_close(teacher.module.weight, torch.full((1, 2), 0.0005))
    assert student.weight.dtype == torch.bfloat16


def test_it_is_taken_up_again_bit_for_bit() -> None:
    student = small()
    teacher, again = Teacher(student), Teacher(student)
    teacher.follow(moved(student), 0.7)
    again.restore(teacher.state())
    assert_equal(state(again.module), state(teacher.module))
    for one in (teacher, again):
        one.follow(student, 0.9)
    assert_equal(state(again.module), state(teacher.module))


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.996), (50, 0.998), (100, 1.0), (150, 1.0), (25, 1 - 0.004 * (2**0.5 / 2 + 1) / 2)]
)
def test_the_published_momentum(step: int, expected: float) -> None:
    assert momentum_at(step, 100, 0.996) == pytest.approx(expected, abs=1e-12)
