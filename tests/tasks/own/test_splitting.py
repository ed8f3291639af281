"""Splits that keep groups together and labels in their shares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from tasks.errors import TaskError
from tasks.own.splitting import membership_of_numbers, split_groups

SHARES = (0.8, 0.1, 0.1)


def one_hot(classes):
    classes = np.asarray(classes)
    return classes[:, None] == np.arange(classes.max() + 1)


def test_each_class_has_its_share():
    member = one_hot(np.repeat([0, 1, 2], [100, 50, 20]))
    parts = split_groups(member, range(170), SHARES, 0)
    counts = np.array([[(member[parts == part, label]).sum() for part in range(3)] for label in range(3)])
    assert counts.tolist() == [[80, 10, 10], [40, 5, 5], [16, 2, 2]]


def test_a_class_of_three_is_in_every_part_and_one_of_one_in_the_first():
    member = one_hot(np.repeat([0, 1, 2, 3], [300, 3, 2, 1]))
    parts = split_groups(member, range(306), SHARES, 1)
    assert sorted(parts[300:303]) == [0, 1, 2]
    assert sorted(parts[303:305]) == [0, 2]
    assert parts[305] == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_group_is_in_two_parts_every_part_has_groups_and_labels_are_seen_first(data):
    labels, items = data.draw(st.integers(1, 5)), data.draw(st.integers(8, 60))
    groups = data.draw(st.lists(st.integers(0, 12), min_size=items, max_size=items))
    member = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=labels, max_size=labels),
                                         min_size=items, max_size=items)))  # fmt: skip
    if len(set(groups)) < 5:
        with pytest.raises(TaskError):
            split_groups(member, groups, SHARES, 0, [1, 2, 2])
        return
    parts = split_groups(member, groups, SHARES, 0, [1, 2, 2])
    of_group = {group: {part for part, other in zip(parts, groups, strict=True) if other == group} for group in groups}
    assert all(len(found) == 1 for found in of_group.values())
    number = [sum(found == {part} for found in of_group.values()) for part in range(3)]
    assert (number[0] >= 1, number[1] >= 2, number[2] >= 2) == (True, True, True)


def test_a_seed_makes_one_split_and_another_seed_another():
    member, groups = one_hot(np.arange(200) % 4), np.arange(200) // 2
    first = split_groups(member, groups, SHARES, 3)
    assert (first == split_groups(member, groups, SHARES, 3)).all()
    assert (first != split_groups(member, groups, SHARES, 4)).any()


def test_names_of_groups_do_not_matter_but_as_groups():
    member = one_hot(np.arange(40) % 2)
    parts = split_groups(member, ["b" if i < 20 else f"c{i}" for i in range(40)], (0.5, 0.25, 0.25), 0)
    assert len(set(parts[:20])) == 1


def test_several_labels_an_item_are_balanced_and_no_worse_than_by_chance():
    rng = np.random.default_rng(0)
    member, groups = rng.random((600, 8)) < np.linspace(0.02, 0.4, 8), rng.integers(0, 150, 600)
    parts = split_groups(member, groups, SHARES, 0)
    sizes = np.bincount(parts) / 600
    assert np.abs(sizes - SHARES).max() < 0.02

    def unevenness(parts):
        return np.mean([np.abs(member[parts == p].mean(0) / member.mean(0) - 1).mean() for p in (1, 2)])

    names = rng.permutation(150)
    chance = np.array([0 if names[g] < 120 else 1 if names[g] < 135 else 2 for g in groups])
    assert unevenness(parts) < unevenness(chance) / 2


def test_classes_are_as_even_as_scikit_learn_makes_them_to_half_an_item():
    rng = np.random.default_rng(1)
    classes, groups = rng.choice(4, 500, p=[0.6, 0.2, 0.15, 0.05]), rng.integers(0, 100, 500)
    member = one_hot(classes)
    ours = split_groups(member, groups, (0.2,) * 5, 0)
    theirs = np.zeros(500, int)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(classes, classes, groups)
    for part, (_, rows) in enumerate(folds):
        theirs[rows] = part

    def spread(parts):
        return np.std([member[parts == part].sum(0) for part in range(5)], axis=0).mean()

    assert spread(ours) < spread(theirs) + 0.5  # items of a class in a part: 0.70 and 0.53


def test_numbers_are_parted_by_quantiles():
    member = membership_of_numbers(np.stack([np.arange(100.0), np.zeros(100)], axis=1))
    assert member.shape == (100, 7)  # five of the first; the second, which is constant, has one, and an empty one
    assert member[:, :5].sum(0).tolist() == [20] * 5
    assert membership_of_numbers(np.arange(5.0)[:, None]).shape == (5, 1)
    parts = split_groups(member, range(100), SHARES, 0)
    for part in (1, 2):
        assert member[parts == part, :5].sum(0).tolist() == [2] * 5
