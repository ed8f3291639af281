from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.embeddings.space import space_of
from benchmark.errors import UserError
from benchmark.jobs.export import check_export, export_folder, export_probe, find_probe
from probes.export import files as files
from probes.export.files import load
from probes.function import ProbeFunction
from results.sections.scores import Score
from tasks.card import Columns, TaskCard

LABELS = ("high", "low")
VERSIONS = {"numpy": "2"}


@dataclass(frozen=True)
class Chosen:
    learning_rate: float = 1e-3
    steps: int = 300
    standardise: bool = True
    hidden: tuple[int, ...] = (4, 3)
    warm_rate: float | None = None


def job_of(encoder, *, reads_audio=True, own_windows=False, protocol="paper", **card):
    columns = Columns(id="id", audio="path", split="split", target="tone")
    card = TaskCard(
        id="Tones", title="Tones", kind="multiclass", metrics=("accuracy",), columns=columns, manifest="m.csv",
        licence="CC BY 4.0", **card,
    )  # fmt: skip
    space = space_of(encoder, card.window_seconds if not own_windows else None, card.hop_seconds)
    source = SimpleNamespace(space=space, reads_audio=reads_audio)
    return SimpleNamespace(
        encoder=encoder,
        card=card,
        data=SimpleNamespace(fingerprint="task", protocol=SimpleNamespace(name=protocol)),
        source=source,
        store=source,
        own_windows=own_windows,
    )


def probe_of(seed, valid_score):
    rng = np.random.default_rng(seed)
    function = ProbeFunction(
        "sigmoid",
        kernels=(rng.normal(size=(16, 2)).astype(np.float32),),
        biases=(np.zeros(2, np.float32),),
        input_mean=np.zeros(16, np.float32),
        input_scale=np.ones(16, np.float32),
        target_mean=np.zeros(2, np.float32),
        target_scale=np.ones(2, np.float32),
    )
    return SimpleNamespace(settings=Chosen(), seed=seed, valid_score=valid_score, function=function)


def scores_of(*seeds):
    return {"accuracy": Score(value=float(np.mean(seeds)), low=0, high=1, std=0.1, seeds=list(seeds))}


def written(directory, job):
    probes = [probe_of(7, 0.5), probe_of(8, 0.9), probe_of(9, 0.7)]
    valid, test = scores_of(0.5, 0.9, 0.7), scores_of(0.3, 0.2, 0.8)
    return export_probe(directory, job, probes, LABELS, valid, test, VERSIONS)


def test_the_best_seed_on_valid_is_written_with_its_own_scores(bands, tmp_path):
    job = job_of(bands)
    folder = written(tmp_path / "out", job)
    assert folder == export_folder(tmp_path / "out", job)
    assert folder.parent.parent == tmp_path / "out"
    probe, card = load(folder)
    np.testing.assert_array_equal(probe.kernels[0], probe_of(8, 0).function.kernels[0])
    assert (card.seed, card.labels, card.kind, card.activation) == (8, LABELS, "multiclass", "sigmoid")
    assert card.scores == {"valid": {"accuracy": 0.9}, "test": {"accuracy": 0.2}}
    assert card.settings == {
        "learning_rate": 1e-3, "steps": 300, "standardise": True, "hidden": "4x3", "warm_rate": None,
    }  # fmt: skip
    assert card.encoder.space["key"] == job.source.space.key
    assert card.encoder.fingerprint == bands.fingerprint()
    assert (card.encoder.text, card.encoder.window_seconds, card.encoder.precision) == ("bands", None, None)
    assert (card.protocol, card.versions, card.task.id) == ("paper", VERSIONS, "Tones")
    assert card.licence.startswith("Annotations: CC BY 4.0")


def test_the_tasks_window_is_told_unless_the_encoder_had_its_own(bands, tmp_path):
    window = {"window_seconds": 2.0, "hop_seconds": 1.0}
    bands.text = "m.py:Bands"
    _, card = load(written(tmp_path / "a", job_of(bands, protocol="quick", **window)))
    assert (card.encoder.window_seconds, card.encoder.hop_seconds) == (2.0, 1.0)
    assert (card.encoder.text, card.protocol) == ("m.py:Bands", "quick")
    _, card = load(written(tmp_path / "b", job_of(bands, own_windows=True, **window)))
    assert (card.encoder.window_seconds, card.encoder.hop_seconds) == (None, None)


def test_of_given_embeddings_only_the_key_is_known(bands, tmp_path):
    job = job_of(bands, reads_audio=False)
    _, card = load(written(tmp_path, job))
    assert card.encoder.space == {"key": job.source.space.key}


def test_an_export_that_could_not_be_written_is_refused_before_it_is_needed(bands, tmp_path, monkeypatch):
    job = job_of(bands)
    check_export(tmp_path / "out", [job])
    assert not (tmp_path / "out").exists()
    folder = export_folder(tmp_path / "out", job)
    folder.mkdir(parents=True)
    (folder / "song.mp3").write_text("x")
    with pytest.raises(UserError, match="holds something else than a probe"):
        check_export(tmp_path / "out", [job])
    with pytest.raises(UserError, match="holds something else than a probe"):
        written(tmp_path / "out", job)
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\n  .* -P -m pip install .*\[export\]'?$"):
        check_export(tmp_path / "elsewhere", [job])


def test_the_one_probe_below_a_folder_is_found(bands, tmp_path):
    job = job_of(bands)
    folder = written(tmp_path / "out", job)
    for above in (folder, folder.parent, folder.parent.parent):
        assert find_probe(above) == folder
    bands.name = "other"
    other = written(tmp_path / "out", job)
    with pytest.raises(UserError, match=rf"(?s)2 probes: name one of them, --probe {folder}, or:\n  {other}$"):
        find_probe(tmp_path / "out")


def test_a_folder_without_a_probe_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match=r"Write one with: bench run -e ENCODER -t TASK --export"):
        find_probe(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        find_probe(tmp_path / "nowhere")
