"""The packages stay easy to enter: short chains of imports, and options that are asked once."""

import ast

import pytest

import tests.pictures as pictures
import tests.structure as structure
from tests.conftest import slow_modules

#: Modules whose tests stand in the module of tests of another, which uses them.
TESTED_IN = {
    "benchmark/audio/chunks": "benchmark/audio/test_sound_files.py",
    "benchmark/audio/flac": "benchmark/audio/test_sound_files.py",
    "benchmark/audio/inspection": "benchmark/audio/test_sound_files.py",
    "benchmark/audio/media_tags": "benchmark/audio/test_sound_files.py",
    "benchmark/audio/mpeg": "benchmark/audio/test_sound_files.py",
    "benchmark/audio/mule_waveform": "benchmark/encoders/published/mule/test_frontend.py",
    "benchmark/audio/ogg": "benchmark/audio/test_sound_files.py",
    "benchmark/audio/reader": "benchmark/audio/test_pool.py",
    "benchmark/cli/data": "benchmark/cli/test_main.py",
    "benchmark/cli/parameters": "benchmark/cli/test_main.py",
    "benchmark/cli/plot": "benchmark/reports/figures/test_files.py",
    "benchmark/cli/printing": "benchmark/datasets/test_data.py",
    "benchmark/cli/reading": "benchmark/cli/test_main.py",
    "benchmark/cli/records": "benchmark/cli/test_results.py",
    "benchmark/cli/run": "benchmark/cli/test_main.py",
    "benchmark/embeddings/precheck": "benchmark/encoders/check/test_check.py",
    "benchmark/embeddings/rows": "benchmark/embeddings/test_precomputed.py",
    "benchmark/embeddings/tracks": "benchmark/embeddings/test_extract.py",
    "benchmark/encoders/cards/agreement": "benchmark/encoders/cards/test_opening.py",
    "benchmark/encoders/cards/fetched": "benchmark/encoders/cards/test_hub.py",
    "benchmark/encoders/class_files": "benchmark/encoders/test_registry.py",
    "benchmark/encoders/packaged/hub_weights": "benchmark/encoders/packaged/test_huggingface.py",
    "benchmark/encoders/packaged/hub_problems": "benchmark/encoders/packaged/test_huggingface.py",
    "benchmark/encoders/check/subject": "benchmark/encoders/check/test_check.py",
    "benchmark/encoders/environment/running": "benchmark/encoders/environment/test_process.py",
    "benchmark/encoders/remote": "benchmark/encoders/environment/test_encoder.py",
    "benchmark/encoders/handcrafted/chroma": "benchmark/encoders/handcrafted/test_handcrafted.py",
    "benchmark/encoders/handcrafted/logmel": "benchmark/encoders/handcrafted/test_handcrafted.py",
    "benchmark/encoders/handcrafted/mfcc": "benchmark/encoders/handcrafted/test_handcrafted.py",
    "benchmark/encoders/neighbours": "benchmark/system/test_current_folder.py",
    "benchmark/encoders/packaged/common": "benchmark/encoders/packaged/test_hear.py",
    "benchmark/encoders/packaged/huggingface_encoder": "benchmark/encoders/packaged/test_huggingface.py",
    "benchmark/encoders/packaged/huggingface_families": "benchmark/encoders/packaged/test_huggingface.py",
    "benchmark/encoders/packaged/model_file": "benchmark/encoders/packaged/test_onnx_model.py",
    "benchmark/encoders/published/mule/keras_graph": "benchmark/encoders/published/mule/test_convert.py",
    "benchmark/encoders/published/mule/folding": "benchmark/encoders/published/mule/test_network.py",
    "benchmark/encoders/published/musicnn/convert": "benchmark/encoders/published/musicnn/test_network.py",
    "benchmark/encoders/published/musicnn/frontend": "benchmark/encoders/published/musicnn/test_encoder.py",
    "benchmark/encoders/windowing": "benchmark/audio/test_windows.py",
    "benchmark/errors": "benchmark/cli/test_main.py",
    "benchmark/jobs/embed": "benchmark/jobs/test_runner.py",
    "benchmark/jobs/embedding_audit": "benchmark/jobs/test_near_duplicates.py",
    "benchmark/jobs/existing": "benchmark/jobs/test_variants.py",
    "benchmark/jobs/items": "benchmark/jobs/test_runner.py",
    "benchmark/jobs/job": "benchmark/jobs/test_plan.py",
    "benchmark/jobs/label_table": "benchmark/jobs/test_label_files.py",
    "benchmark/jobs/labelled": "benchmark/jobs/test_predict.py",
    "benchmark/jobs/outputs": "benchmark/jobs/test_evaluate.py",
    "benchmark/jobs/provenance": "benchmark/system/test_machine.py",
    "benchmark/jobs/remarks": "benchmark/test_api.py",
    "benchmark/pretraining/continuing": "benchmark/cli/test_pretrain.py",
    "benchmark/pretraining/batches": "benchmark/cli/test_pretrain.py",
    "benchmark/pretraining/comparison/folder": "benchmark/pretraining/comparison/test_summary.py",
    "benchmark/pretraining/training/schedule": "benchmark/pretraining/training/test_trainer.py",
    "benchmark/reports/figures/comparisons": "benchmark/reports/figures/test_strategies.py",
    "benchmark/pretraining/data/features": "benchmark/pretraining/data/test_prepare.py",
    "benchmark/pretraining/data/hashes": "benchmark/pretraining/data/test_prepare.py",
    "benchmark/pretraining/data/shard_readers": "benchmark/pretraining/data/test_prepare.py",
    "benchmark/pretraining/data/shards": "benchmark/pretraining/data/test_prepare.py",
    "benchmark/pretraining/data/contents": "benchmark/pretraining/data/test_store.py",
    "benchmark/pretraining/data/csv_rows": "benchmark/pretraining/data/test_sources.py",
    "benchmark/pretraining/data/description": "benchmark/pretraining/data/test_store.py",
    "benchmark/pretraining/data/folder": "benchmark/pretraining/data/test_prepare.py",
    "benchmark/pretraining/data/kept": "benchmark/pretraining/data/test_prepare.py",
    "benchmark/pretraining/data/storage": "benchmark/pretraining/data/test_store.py",
    "benchmark/pretraining/encoder": "benchmark/pretraining/training/test_export.py",
    "benchmark/pretraining/pretrain": "benchmark/pretraining/training/test_trainer.py",
    "benchmark/pretraining/probing": "benchmark/pretraining/training/test_trainer.py",
    "benchmark/pretraining/runs": "benchmark/pretraining/training/test_export.py",
    "benchmark/pretraining/networks/files": "benchmark/pretraining/training/test_export.py",
    "benchmark/pretraining/networks/heads": "benchmark/pretraining/training/test_trainer.py",
    "benchmark/pretraining/networks/sf_nfnet": "benchmark/pretraining/networks/test_table.py",
    "benchmark/pretraining/networks/wave_cnn": "benchmark/pretraining/strategies/test_multitask.py",
    "benchmark/pretraining/strategies/workers/crops": "benchmark/pretraining/strategies/workers/test_targets.py",
    "benchmark/pretraining/strategies/workers/table": "benchmark/pretraining/strategies/workers/test_targets.py",
    "benchmark/pretraining/strategies/contract": "benchmark/pretraining/strategies/test_table.py",
    "benchmark/pretraining/strategies/recipe": "benchmark/pretraining/training/test_recipes.py",
    "benchmark/pretraining/training/logs": "benchmark/pretraining/training/test_trainer.py",
    "benchmark/pretraining/training/progress": "benchmark/pretraining/training/test_trainer.py",
    "benchmark/reports/encoder_cards": "benchmark/cli/test_encoders.py",
    "benchmark/reports/encoders": "benchmark/cli/test_encoders.py",
    "benchmark/jobs/column": "benchmark/jobs/test_ranking.py",
    "benchmark/reports/page/cells": "benchmark/reports/page/test_tables.py",
    "benchmark/reports/page/assemble": "benchmark/reports/page/test_make.py",
    "benchmark/reports/page/findings": "benchmark/reports/page/test_make.py",
    "benchmark/reports/page/provenance": "benchmark/reports/page/test_make.py",
    "benchmark/reports/page/render": "benchmark/reports/page/test_make.py",
    "benchmark/reports/page/scores": "benchmark/reports/page/test_make.py",
    "benchmark/reports/page/views": "benchmark/reports/page/test_make.py",
    "benchmark/reports/figures/choice": "benchmark/reports/figures/test_figures.py",
    "benchmark/reports/figures/figure": "benchmark/reports/figures/test_figures.py",
    "benchmark/reports/figures/outputs": "benchmark/reports/figures/test_figures.py",
    "benchmark/reports/figures/theme": "benchmark/reports/figures/test_figures.py",
    "benchmark/reports/plan": "benchmark/jobs/test_estimate.py",
    "benchmark/reports/predictions": "benchmark/jobs/test_predict.py",
    "benchmark/reports/records": "benchmark/jobs/test_result_checks.py",
    "benchmark/reports/reproduction": "benchmark/jobs/test_reproduce.py",
    "benchmark/reports/robustness": "benchmark/jobs/test_robustness.py",
    "benchmark/datasets/listing": "benchmark/cli/test_json.py",
    "benchmark/system/json_text": "benchmark/cli/test_json.py",
    "benchmark/reports/table_look": "benchmark/reports/test_table_formats.py",
    "benchmark/system/finding": "benchmark/datasets/test_checks.py",
    "benchmark/system/interpreter": "benchmark/system/test_current_folder.py",
    "benchmark/tracking/contract": "benchmark/tracking/test_trackers.py",
    "probes/errors": "test_refusals.py",
    "probes/export/card": "probes/export/test_files.py",
    "probes/search/trials": "probes/search/test_search.py",
    "probes/training/batched": "probes/training/test_trainer.py",
    "probes/training/probe": "probes/training/test_trainer.py",
    "probes/training/state": "probes/training/test_trainer.py",
    "results/digests": "results/test_store.py",
    "results/files": "results/test_store.py",
    "results/generated": "results/leaderboard/test_full.py",
    "results/leaderboard/board": "results/leaderboard/test_full.py",
    "results/partial": "results/test_store.py",
    "results/notes": "benchmark/reports/test_score_table.py",
    "results/rerun": "results/test_store.py",
    "results/sections/configuration": "benchmark/jobs/test_resolved.py",
    "results/sections/inputs": "results/test_record.py",
    "results/sections/scores": "results/test_record.py",
    "results/sections/selection": "results/test_record.py",
    "results/sources": "results/test_status.py",
    "results/text": "results/test_store.py",
    "tasks/metrics/functions": "tasks/metrics/test_scores.py",
    "tasks/errors": "tasks/test_registry.py",
    "tasks/readers/mirdata_splits": "tasks/readers/test_mirdata_loaders.py",
    "tasks/collections/msd/paths": "tasks/collections/msd/test_collection.py",
    "tasks/collections/msd/tags": "tasks/collections/msd/test_collection.py",
    "tasks/own/targets": "tasks/own/test_columns.py",
    "tasks/sources/fetch": "tasks/sources/test_archives.py",
    "tasks/sources/state": "tasks/sources/test_download.py",
    "results/sections/provenance": "benchmark/jobs/test_provenance.py",
}


def test_every_slow_module_is_there():
    assert [path for path in slow_modules() if not path.is_file()] == []
    assert 0 < len(slow_modules()) < 80


def test_chains_of_imports_are_short():
    chain = structure.longest_chain()
    assert chain[0] == "benchmark.__main__"
    assert len(chain) <= 17


def test_few_functions_are_handed_options():
    assert len(structure.handed_options()) <= 12


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_pictures_are_what_contracts_and_docstrings_say(name):
    """Draw them again with: python tests/pictures.py."""
    docs = structure.ROOT / "docs"
    assert (docs / name).read_text(encoding="utf-8") == pictures.PICTURES[name]()
    assert f"]({name})" in (docs / "architecture.md").read_text(encoding="utf-8")


def test_the_picture_of_the_layers_has_every_package_and_layer():
    drawing = pictures.layers()
    for package in structure.PACKAGES:
        assert f">{package}<" in drawing
    folders = {path.parent.name for path in (structure.ROOT / "benchmark").glob("*/__init__.py")}
    assert folders
    assert [name for name in folders if f">benchmark.{name}<" not in drawing] == []


def test_the_picture_of_a_run_names_modules_that_are_there():
    names = [name for row in pictures.RUN for name, _ in row]
    assert [name for name in names if not (structure.ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


def test_every_module_has_its_tests():
    """A module is tested by the module of tests of its name, or by the one that TESTED_IN says."""
    tested = {str(path.relative_to(structure.ROOT / "tests")) for path in (structure.ROOT / "tests").rglob("test_*.py")}
    missing = []
    for package in structure.PACKAGES:
        for path in sorted((structure.ROOT / package).rglob("*.py")):
            module = path.relative_to(structure.ROOT)
            if path.name.startswith("__"):
                continue
            own = module.with_name(f"test_{module.name}").as_posix()
            if TESTED_IN.get(module.with_suffix("").as_posix(), own) not in tested:
                missing.append(module.as_posix())
    assert missing == []


def test_no_test_is_hidden_by_its_name():
    """A function like ``format_test_it`` is never run: a renaming made six of them once."""
    hidden = []
    for path in sorted((structure.ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("test"):
                marks = [ast.unparse(decorator) for decorator in node.decorator_list]
                if "_test_" in node.name or any("mark.parametrize" in mark for mark in marks):
                    hidden.append(f"{path.name}: {node.name}")
    assert hidden == []
