"""Options of a run are written once: the command line, benchmark.run and their help have every one of them."""

import dataclasses
import inspect
import re
from typing import get_args

import pytest
from typer.testing import CliRunner

import benchmark
from benchmark.cli.main import app
from benchmark.errors import UserError
from benchmark.jobs.options import Options, Pruner, option_list
from probes.search.pruning import PRUNERS
from tasks.errors import TaskError

NAMES = [field.name for field in dataclasses.fields(Options)]


def help_of(command):
    # Escape sequences and the frames of panels are left out, whatever the terminal is.
    output = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


class TestOneList:
    def test_benchmark_run_has_a_keyword_for_each_with_its_default(self):
        parameters = inspect.signature(benchmark.run).parameters
        assert list(parameters) == ["encoder", "task", "config", "progress", *NAMES]
        assert {name: parameters[name].default for name in NAMES} == {
            field.name: field.default for field in dataclasses.fields(Options)
        }

    @pytest.mark.parametrize("option", option_list(), ids=lambda option: option.name)
    def test_each_is_explained_by_the_command_line_and_by_help(self, option):
        shown = help_of("run")
        assert re.search(rf"{option.text}\s", shown)
        assert option.flag.help.split()[0] in shown
        assert f"{option.name}: {option.flag.help}" in benchmark.run.__doc__

    def test_they_are_grouped(self):
        shown = help_of("run")
        places = [shown.index(f" {panel} ─") for panel in ("Data", "Encoder", "Probe and search", "Records", "Machine")]
        assert places == sorted(places)

    def test_embed_takes_those_that_decide_embeddings(self):
        shown = help_of("embed")
        assert "--own-windows" in shown
        assert "--allow-damaged" in shown
        for other in ("--trials", "--results", "--overwrite", "--export", "--protocol"):
            assert other not in shown

    def test_pruners_are_those_of_the_search(self):
        assert get_args(Pruner) == tuple(PRUNERS)


class TestRefusals:
    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"sampler": "bayes"}, "--sampler has no choice 'bayes': give one of tpe, random, grid"),
            ({"pruner": "median"}, "--pruner has no choice 'median': give one of halving, none"),
            ({"overwrite": "yes"}, "--overwrite has no choice 'yes': give one of missing, always, never"),
            ({"precision": "fp16"}, "--precision has no choice 'fp16': give one of fp32, bf16"),
            ({"limit": 2}, "--limit is 2: give 3 at least"),
            ({"workers": -1}, "--workers is -1: give 0 at least"),
            ({"seed": 2**31 + 1}, "--seed is 2147483649: give 2147483648 at most"),
            ({"train_fraction": "a tenth"}, "'a tenth' is not a list of numbers: write it such as 0.01,0.1,1"),
            ({"train_fraction": "0.1,,1"}, "'0.1,,1' is not a list of numbers"),
            ({"deform": "louder=3"}, "louder"),
            ({"device": "mps", "precision": "bf16"}, "--device mps computes in float32 alone: leave bf16 out"),
            ({"device": "mps:0", "probe_precision": "bf16"}, "--device mps computes in float32 alone"),
        ],
    )
    def test_what_cannot_be_is_refused_at_once(self, chosen, message):
        with pytest.raises(UserError, match=re.escape(message)):
            Options(**chosen)

    def test_a_data_root_of_no_collection_is_refused_at_once(self):
        with pytest.raises(TaskError, match="give COLLECTION=DIR"):
            Options(data_roots=["gtzan"])

    def test_a_keyword_that_is_no_option_is_named(self):
        with pytest.raises(TypeError, match="no option 'trails': did you mean 'trials'"):
            benchmark.run("logmel", "demo_key", trails=3)
        with pytest.raises(TypeError, match="no option 'zzz': it has home, "):
            benchmark.run("logmel", "demo_key", zzz=3)


class TestValues:
    def test_folders_may_be_texts(self, tmp_path):
        options = Options(home=str(tmp_path), results=str(tmp_path / "r"), export=str(tmp_path / "e"))
        assert (options.home_folder, options.results_folder) == (tmp_path, tmp_path / "r")
        assert options.export_folder == tmp_path / "e"

    @pytest.mark.parametrize("given", ["1,0.1,0.10", (1, 0.1), [0.1, 1.0]])
    def test_fractions_are_sorted_and_each_is_there_once(self, given):
        assert Options(train_fraction=given).fractions == (0.1, 1.0)
        names = [subset.name for subset in Options(train_fraction=given, repeats=2).subsets]
        assert names == ["fraction-0.1.repeat-0", "fraction-0.1.repeat-1", "fraction-1.repeat-0"]
