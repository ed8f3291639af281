import copy
import csv
import hashlib
import itertools
import math
from collections import Counter
from dataclasses import replace
from importlib.resources import files

import pytest

from probes import protocol as module
from probes.kinds import KINDS
from probes.protocol import (
    PROTOCOLS,
    ProtocolError,
    Settings,
    _contains,
    protocol_for,
    published_models,
)

TASKS = (
    "mtt gtzan nsynth_p nsynth_i emo gs_key jam_50 jam_all jam_mt msds msd50 msd100 msd500 mumu amm".split()  # noqa: SIM905
)
MODELS = [f"{data}-{how}" for data in ("musicset", "audioset") for how in ("sup", "ularge", "usmall")]
#: Table 2 of the paper: widths, dropout and batch size; NSynth and GTZAN as its text says.
TABLE_2 = {
    "mtt": ((512,), 0.5, 256),
    "gtzan": ((), 0.0, 2560),
    "nsynth_p": ((), 0.0, 64),
    "nsynth_i": ((), 0.0, 64),
    "emo": ((1024,), 0.5, 512),
    "gs_key": ((512,), 0.8, 512),
    "jam_50": ((512,), 0.75, 256),
    "jam_all": ((1024, 1024), 0.5, 256),
    "jam_mt": ((512,), 0.75, 256),
    "msds": ((1024, 1024), 0.5, 256),
    "msd50": ((512,), 0.5, 256),
    "msd100": ((2048, 2048), 0.5, 256),
    "msd500": ((4096, 4096, 4096), 0.5, 256),
    "mumu": ((), 0.3, 256),
    "amm": ((1024,), 0.5, 256),
}


def test_the_published_settings_are_those_that_were_checked():
    """All ninety were compared with what the paper's authors published; whoever changes one does so again."""
    lines = (files("probes") / "published.csv").read_text(encoding="utf-8").splitlines()
    digest = hashlib.sha256("\n".join([*lines, ""]).encode()).hexdigest()
    assert digest == "a4298ac9769cf5bc68ac888a773cae6f25414d3cd9b1aa2697e0b34613af8eff"


class TestPaper:
    @pytest.mark.parametrize("task", TASKS)
    def test_the_first_choices_are_those_of_table_2(self, task):
        protocol = protocol_for("paper", task)
        assert (protocol.hidden[0], protocol.dropout[0], protocol.batch_size[0]) == TABLE_2[task]
        assert protocol.section == task

    @pytest.mark.parametrize("task", TASKS)
    def test_every_published_setting_is_within_its_limits_and_tried_first(self, task):
        protocol = protocol_for("paper", task)
        left_out = []
        for model in MODELS:
            (settings,) = protocol_for(f"published:{model}", task).first
            assert _contains(protocol, settings) == (settings in protocol.first)
            if settings not in protocol.first:
                left_out.append(model)
        assert left_out == (["musicset-usmall"] if task == "jam_all" else [])
        assert len(set(protocol.first)) == len(protocol.first) >= 1

    def test_a_task_without_a_section_follows_its_group_or_the_default(self):
        assert protocol_for("paper", "no_such_task").section == "default"
        assert protocol_for("paper", "no_such_task", ("other", "demo")).section == "demo"
        assert protocol_for("paper", "mtt", ("demo",)).section == "mtt"

    def test_the_default_ranges_are_the_documented_ones(self):
        protocol = protocol_for("paper", "anything")
        assert protocol.learning_rate == (1e-5, 1e-2)
        assert protocol.l2 == (1e-7, 1e-2)
        assert protocol.standardise == (True, False)
        assert (protocol.hidden, protocol.dropout, protocol.batch_size) == (((512,),), (0.5,), (256,))

    def test_without_published_settings_it_begins_in_the_middle(self):
        protocol = protocol_for("paper", "anything")
        assert protocol.first == protocol.starts()
        middle, regularised = protocol.first
        assert middle == protocol.middle() == Settings(1e-3, 0.0, round(math.sqrt(300 * 10000)), True)
        assert regularised.l2 > 0
        assert replace(regularised, l2=0.0, learning_rate=1e-3) == middle
        assert all(_contains(protocol, settings) for settings in protocol.first)

    def test_the_middle_keeps_to_a_narrow_range(self):
        for learning_rate in ((1e-6, 1e-5), (0.1, 1.0)):
            protocol = replace(protocol_for("paper", "anything"), learning_rate=learning_rate, l2=(1e-2, 1e-1))
            assert all(_contains(protocol, settings) for settings in protocol.starts())

    def test_a_card_asks_for_its_probe(self):
        protocol = protocol_for("paper", "mine", ("demo",), hidden=(64, 32), dropout=0.25, batch_size=128)
        assert (protocol.hidden, protocol.dropout, protocol.batch_size) == (((64, 32),), (0.25,), (128,))
        assert protocol.steps == protocol_for("paper", "mine", ("demo",)).steps
        assert protocol.first[0].hidden == (64, 32)
        linear = protocol_for("paper", "mine", hidden=(), dropout=0.0)
        assert (linear.hidden, linear.dropout, linear.batch_size) == (((),), (0.0,), (256,))

    def test_what_differs_between_tasks_reaches_the_trials(self):
        assert protocol_for("paper", "mumu").spec("multilabel", 250).dropout_place == "logits"
        assert protocol_for("paper", "gtzan").spec("multiclass", 10).loss == "binary_cross_entropy"
        assert protocol_for("paper", "nsynth_i").spec("multiclass", 11).warmup == 5000
        usual = protocol_for("paper", "mtt").spec("multilabel", 50, 13)
        assert (usual.dropout_place, usual.schedule, usual.warmup, usual.patience) == ("hidden", "cosine", 1000, None)
        assert usual.layers == 13

    @pytest.mark.parametrize("kind", list(KINDS))
    def test_the_loss_is_the_usual_one_of_the_kind(self, kind):
        assert protocol_for("paper", "anything").spec(kind, 3).loss == KINDS[kind].loss


class TestEveryProtocol:
    @pytest.mark.parametrize("name", PROTOCOLS)
    @pytest.mark.parametrize("task", [*TASKS, "anything"])
    def test_is_coherent(self, name, task):
        protocol = protocol_for(name, task)
        assert protocol.name == name
        assert not protocol.exact
        for low, high in (protocol.learning_rate, protocol.l2, protocol.steps):
            assert 0 < low <= high
        assert min(protocol.trials, protocol.seeds, protocol.round, *protocol.batch_size) >= 1
        assert all(0 <= rate < 1 for rate in protocol.dropout)
        for choices in (protocol.standardise, protocol.hidden, protocol.dropout, protocol.batch_size):
            assert len(set(choices)) == len(choices) >= 1
        assert all(_contains(protocol, settings) for settings in protocol.first)
        assert protocol == protocol_for(name, task)

    @pytest.mark.parametrize("task", [*TASKS, "anything"])
    def test_quick_is_the_same_probe_on_a_short_budget(self, task):
        quick, paper = protocol_for("quick", task), protocol_for("paper", task)
        for name in ("hidden", "dropout", "batch_size", "dropout_place", "loss", "standardise"):
            assert getattr(quick, name) == getattr(paper, name)
        assert quick.steps[1] <= min(2000, paper.steps[1])
        assert quick.trials <= paper.trials
        assert quick.patience < quick.steps[1]
        assert quick.first == quick.starts()

    def test_quick_leaves_a_shorter_budget_as_it_is(self, monkeypatch):
        data = copy.deepcopy(module._data())
        data["paper"]["tiny"] = {"steps": [10, 50], "trials": 3, "hidden": [[]]}
        monkeypatch.setattr(module, "_data", lambda: data)
        quick = protocol_for("quick", "mine", ("tiny",))
        assert (quick.steps, quick.trials, quick.hidden) == ((10, 50), 3, ((),))

    @pytest.mark.parametrize("task", [*TASKS, "anything"])
    def test_open_searches_the_shape_too_and_loses_none_of_the_papers_choices(self, task):
        wide, paper = protocol_for("open", task), protocol_for("paper", task)
        for name in ("hidden", "dropout", "batch_size"):
            choices, before = getattr(wide, name), getattr(paper, name)
            assert choices[: len(before)] == before
            assert len(choices) > len(before)
        assert {(), (512,), (512, 512)} <= set(wide.hidden)
        assert wide.first == paper.first

    def test_open_begins_with_the_probe_that_a_card_asks_for(self):
        protocol = protocol_for("open", "mine", hidden=(256,), dropout=0.5, batch_size=128)
        assert protocol.hidden[0] == (256,)
        assert protocol.hidden.count((256,)) == 1
        assert protocol.batch_size[0] == 128


class TestJukemir:
    def test_the_grid_is_every_combination_once(self):
        points = protocol_for("jukemir", "mtt").grid_settings()
        axes = ((False, True), ((), (512,)), (64, 256), (1e-5, 1e-4, 1e-3), (0.25, 0.5, 0.75), (0.0, 5e-5, 5e-4))
        found = Counter((p.standardise, p.hidden, p.batch_size, p.learning_rate, p.dropout, p.l2) for p in points)
        assert len(points) == 216
        assert found == Counter(itertools.product(*axes))
        assert {(p.steps, p.warm_rate) for p in points} == {(100_000, None)}

    def test_trains_as_there(self):
        spec = protocol_for("jukemir", "mtt").spec("multilabel", 50)
        assert (spec.schedule, spec.dropout_place, spec.patience) == ("constant", "input_and_hidden", 2048)
        assert spec.look_every == 64
        assert protocol_for("jukemir", "mtt").first == ()

    @pytest.mark.parametrize("name", ["paper", "quick", "open", "published:musicset-sup"])
    def test_no_other_protocol_has_a_grid(self, name):
        with pytest.raises(ProtocolError, match="give --sampler grid with --protocol jukemir"):
            protocol_for(name, "mtt").grid_settings()


class TestPublished:
    @pytest.mark.parametrize(
        ("model", "task", "settings", "rest"),
        [
            (
                "musicset-ularge",
                "mtt",
                Settings(5e-5, 1e-6, 30_000, False, (512,), 0.5, 256),
                ("binary_cross_entropy", "hidden", 1000),
            ),
            (
                "audioset-sup",
                "nsynth_i",
                Settings(1e-4, 5e-6, 300_000, False, (), 0.0, 64),
                ("cross_entropy", "hidden", 5000),
            ),
            (
                "audioset-ularge",
                "nsynth_p",
                Settings(1e-4, 0.0, 800_000, False, (), 0.0, 64),
                ("binary_cross_entropy", "hidden", 5000),
            ),
            (
                "musicset-usmall",
                "jam_all",
                Settings(1e-4, 1e-5, 20_000, False, (1025, 1025), 0.5, 256),
                ("binary_cross_entropy", "hidden", 1000),
            ),
            (
                "audioset-usmall",
                "mumu",
                Settings(1e-4, 1e-6, 30_000, False, (), 0.3, 256, warm_rate=1e-3),
                ("binary_cross_entropy", "logits", 1000),
            ),
            (
                "musicset-sup",
                "emo",
                Settings(2.5e-4, 0.0, 10_000, False, (512,), 0.5, 512),
                ("squared_error", "hidden", 1000),
            ),
            (
                "musicset-sup",
                "msd500",
                Settings(1.5e-4, 1e-6, 25_000, False, (4096, 4096, 4096), 0.5, 256),
                ("binary_cross_entropy", "hidden", 1000),
            ),
        ],
    )
    def test_is_exactly_one_configuration(self, model, task, settings, rest):
        protocol = protocol_for(f"published:{model}", task, hidden=(3,), dropout=0.1, batch_size=7)
        assert protocol.first == (settings,)
        assert (protocol.loss, protocol.dropout_place, protocol.warmup) == rest
        assert protocol.exact
        assert (protocol.trials, protocol.round) == (1, 1)
        assert _contains(protocol, settings)

    def test_there_are_fifteen_tasks_of_six_models(self):
        assert {task: published_models(task) for task in TASKS} == dict.fromkeys(TASKS, MODELS)
        assert published_models("demo_key") == []

    def test_equal_the_files_that_the_authors_published(self, reference_data):
        with (reference_data / "paper" / "published_probes.csv").open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert len(rows) == 90
        losses = {
            "BinaryCrossentropy": "binary_cross_entropy",
            "CategoricalCrossentropy": "cross_entropy",
            "MeanSquaredError": "squared_error",
        }
        for row in rows:
            task = row["task"].lower().replace("-", "_")
            data, how = row["model"].split("_")
            model = f"{data.lower()}-{'sup' if how == 'Supervised' else how.lower()}"
            protocol = protocol_for(f"published:{model}", task)
            (settings,) = protocol.first
            assert settings.learning_rate == float(row["cosine_initial_lr"])
            assert (settings.warm_rate or settings.learning_rate) == float(row["lr_peak"])
            assert settings.l2 == float(row["l2"])
            assert settings.steps == int(row["total_steps"])
            assert protocol.warmup == int(row["warmup_steps"])
            assert "x".join(map(str, settings.hidden)) == row["layer_widths"].replace("linear", "")
            given = [row[key] for key in ("output_dropout", "scalar_dropout_key", "layer_dropouts")]
            rates = {float(rate) for each in given if each not in ("null", "absent") for rate in each.split("|")}
            assert (rates or {0.0}) == {settings.dropout}
            assert (protocol.dropout_place == "logits") == (given[0] not in ("null", "absent"))
            assert protocol.loss == losses[row["loss"]]


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "task", "message"),
        [
            ("papr", "mtt", "no protocol is called 'papr': did you mean 'paper'"),
            ("x", "mtt", "name one of paper, quick, open, jukemir and published:MODEL"),
            ("published:musicset-large", "mtt", "did you mean published:musicset-ularge"),
            ("published:zzz", "mtt", "name one of musicset-sup, musicset-ularge"),
            ("published:", "mtt", "name one of musicset-sup"),
            (
                "published:musicset-sup",
                "demo_key",
                "no settings for the task 'demo_key': leave --protocol out here, or run it on mtt, gtzan",
            ),
        ],
    )
    def test_say_what_there_is(self, name, task, message):
        with pytest.raises(ProtocolError, match=message):
            protocol_for(name, task)
