import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

import benchmark
from benchmark.cli import reading as commands
from benchmark.embeddings.space import space_of
from benchmark.errors import UserError
from benchmark.jobs import predict as module
from benchmark.jobs.labelled import FilePrediction
from benchmark.reports.predictions import as_data, format_prediction, ranked
from probes.export.files import EncoderPart, ProbeCard, TaskPart, content_digest, export, load
from probes.function import ProbeFunction
from tests.benchmark.conftest import predict

RATE = 8000
ACTIVATIONS = {"multiclass": "softmax", "multilabel": "sigmoid", "regression": "identity"}
PLUGIN = """
import numpy as np
from benchmark import Encoder

class Loudness(Encoder):
    name, version, sample_rate, dim, arrays = "loudness", "1", 8000, 2, "numpy"
    window_seconds, hop_seconds, minimum_seconds, padding = 1.0, 0.5, 0.1, "refuse"

    def embed(self, waveforms):
        print("an encoder that talks")
        return np.stack([np.abs(waveforms).mean((1, 2)), waveforms.std((1, 2))], 1).astype(np.float32)
"""


class Said:
    """A reporter that remembers."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def tone(path, pitch, seconds=2.3, rate=RATE):
    phase = 2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(phase), rate)
    return path


@pytest.fixture
def songs(tmp_path):
    """A low, a middle and a high tone."""
    return [tone(tmp_path / f"{name}.flac", pitch) for name, pitch in (("low", 100), ("middle", 700), ("high", 1800))]


@pytest.fixture
def make_probe(tmp_path):
    """Export a probe of an encoder: its kernel [D, outputs], and what the card says otherwise."""

    def make(encoder, kernel, kind="multiclass", labels=("low", "middle", "high"), folder="probe", space=None, **part):
        kernel = np.asarray(kernel, np.float32)
        dim, outputs = kernel.shape
        one, none = np.ones(outputs, np.float32), np.zeros(outputs, np.float32)
        probe = ProbeFunction(
            ACTIVATIONS[kind], (kernel,), (none,), np.zeros(dim, np.float32), np.ones(dim, np.float32), none, one
        )
        window = part.get("window_seconds")
        used = encoder if window is None else encoder.for_window(window)
        made = space_of(used, window, part.get("hop_seconds"))
        part = {
            "text": encoder.name, "version": encoder.version, "fingerprint": made.fingerprint,
            "space": {**made.describe(), **(space or {})}, **part,
        }  # fmt: skip
        card = ProbeCard(
            kind=kind, activation=ACTIVATIONS[kind], labels=labels, metrics=("accuracy",), protocol="paper", seed=0,
            settings={}, scores={}, versions={}, task=TaskPart(id="tones", title="Tones", version=1, fingerprint="t"),
            encoder=EncoderPart(id=encoder.name, **part),
        )  # fmt: skip
        return export(probe, card, tmp_path / folder)

    return make


@pytest.fixture
def bands_probe(bands, make_probe):
    """Which of three bands is the loudest."""
    kernel = np.zeros((16, 3))
    kernel[0, 0] = kernel[2, 1] = kernel[7, 2] = 2
    return make_probe(bands, kernel)


# predictions


def test_each_file_is_decoded_cut_embedded_and_answered(bands, bands_probe, songs):
    card, found = predict(bands_probe, songs, encoder=bands)
    assert [one.path for one in found] == songs
    assert [card.labels[one.outputs.argmax()] for one in found] == ["low", "middle", "high"]
    samples = soundfile.read(songs[0], dtype="float32")[0]
    windows = np.stack([samples[i : i + RATE] for i in (0, 4000, 8000, len(samples) - RATE)])[:, None]
    embedding = bands.embed(windows).mean(0, dtype=np.float64).astype(np.float32)
    logits = np.float32([embedding[0], embedding[2], embedding[7]]) * 2
    np.testing.assert_allclose(found[0].outputs, np.exp(logits) / np.exp(logits).sum(), rtol=1e-4)
    assert found[0].seconds == pytest.approx(2.3, abs=0.01)
    assert not found[0].clipped


def test_it_is_what_the_onnx_file_gives_for_the_stored_embedding(bands, bands_probe, songs):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(bands_probe / "probe.onnx", providers=["CPUExecutionProvider"])
    _, found = predict(bands_probe, songs, encoder=bands)
    for song, one in zip(songs, found, strict=True):
        samples = soundfile.read(song, dtype="float32")[0]
        windows = np.stack([samples[i : i + RATE] for i in (0, 4000, 8000, len(samples) - RATE)])[:, None]
        embedding = bands.embed(windows).mean(0, dtype=np.float64).astype(np.float32)
        (outputs,) = session.run(None, {"embeddings": embedding[None]})
        np.testing.assert_allclose(one.outputs, outputs[0], atol=1e-6)


def test_torch_modules_of_the_encoder_are_evaluated(bands, bands_probe, songs, monkeypatch):
    torch = pytest.importorskip("torch")
    part = torch.nn.Dropout()
    monkeypatch.setattr(type(bands), "to", lambda encoder, device: vars(encoder).update(part=part))
    try:
        predict(bands_probe, songs[:1], encoder=bands)
    finally:
        vars(bands).pop("part", None)
    assert not part.training


def test_workers_and_batches_change_nothing(bands, bands_probe, songs):
    _, alone = predict(bands_probe, songs, encoder=bands, workers=0, batch_size=1)
    _, together = predict(bands_probe, songs, encoder=bands, workers=1, batch_size=32)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.outputs, other.outputs, rtol=1e-5)


def test_files_of_another_rate_and_stereo_are_brought_to_the_encoders(bands, bands_probe, tmp_path):
    soundfile.write(
        tmp_path / "s.wav", np.tile(0.2 * np.sin(2 * np.pi * 700 * np.arange(88200) / 44100)[:, None], 2), 44100
    )
    card, (one,) = predict(bands_probe, [tmp_path / "s.wav"], encoder=bands)
    assert card.labels[one.outputs.argmax()] == "middle"


def test_the_tasks_window_is_given_to_the_encoder_again(bands, make_probe, songs):
    asked = []

    class Windowed(type(bands)):
        def for_window(self, seconds):
            asked.append(seconds)
            return self

        def embed(self, waveforms):
            asked.append(waveforms.shape[-1])
            return super().embed(waveforms)

    encoder = Windowed()
    folder = make_probe(encoder, np.eye(16)[:, :3], window_seconds=2.0, hop_seconds=0.5)
    asked.clear()
    predict(folder, songs[:1], encoder=encoder)
    assert asked == [2.0, 16000]


def test_the_precision_of_the_record_is_asked_for(bands, make_probe, songs):
    folder = make_probe(bands, np.eye(16)[:, :3], precision="bf16")
    with pytest.raises(UserError, match="fp32 only"):
        predict(folder, songs[:1], encoder=bands)


# files that cannot be used


def test_a_damaged_file_is_named_and_the_others_are_answered(bands, bands_probe, songs, tmp_path):
    (tmp_path / "broken.flac").write_bytes(songs[0].read_bytes()[:3000])
    (tmp_path / "text.mp3").write_text("no audio")
    files = [songs[0], tmp_path / "broken.flac", tmp_path / "nowhere.wav", tmp_path / "text.mp3", songs[2]]
    card, found = predict(bands_probe, files, encoder=bands)
    assert [one.outputs is None for one in found] == [False, True, True, True, False]
    assert all(one.problem for one in found[1:4])
    assert "missing" in found[2].problem
    assert card.labels[found[4].outputs.argmax()] == "high"


def test_a_file_that_an_encoder_finds_too_short_or_chokes_on_costs_that_file_alone(make_probe, tmp_path, songs):
    (tmp_path / "mine.py").write_text(PLUGIN.replace('print("an encoder that talks")', "assert waveforms.any()"))
    text = f"{tmp_path / 'mine.py'}:Loudness"
    from benchmark.encoders.registry import resolve_one

    folder = make_probe(resolve_one(text), np.eye(2), labels=("a", "b"), text=text)
    short = tone(tmp_path / "short.wav", 500, 0.05)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    _, found = predict(folder, [short, tmp_path / "silent.wav", songs[0]], encoder=text)
    assert "too short" in found[0].problem
    assert "AssertionError" in found[1].problem
    assert found[2].outputs is not None


def test_outputs_that_are_not_finite_are_a_problem_of_the_file(bands, make_probe, songs):
    folder = make_probe(bands, np.full((16, 2), 3e38), "regression", ("valence", "arousal"))
    _, (one,) = predict(folder, songs[:1], encoder=bands)
    assert one.outputs is None
    assert "extreme scale" in one.problem


# the encoder


def test_the_encoder_is_found_by_what_the_probe_says(make_probe, songs):
    from benchmark.encoders.registry import resolve_one

    encoder = resolve_one("logmel")
    folder = make_probe(encoder, np.zeros((encoder.dim, 2)), labels=("a", "b"))
    _, (one,) = predict(folder, songs[:1])
    assert one.outputs.tolist() == [0.5, 0.5]


def test_an_encoder_of_a_file_is_named_by_the_user(make_probe, tmp_path, songs):
    (tmp_path / "mine.py").write_text(PLUGIN)
    text = f"{tmp_path / 'mine.py'}:Loudness"
    from benchmark.encoders.registry import resolve_one

    folder = make_probe(resolve_one(text), np.eye(2), labels=("a", "b"), text=text)
    _, (one,) = predict(folder, songs[:1], encoder=text)
    assert one.outputs is not None
    (tmp_path / "mine.py").write_text(PLUGIN.replace("waveforms.std((1, 2))", "waveforms.max((1, 2))"))
    with pytest.raises(UserError, match=r"'loudness'.*is not the 'loudness'.*fingerprint.*--encoder"):
        predict(folder, songs[:1], encoder=text)


def test_an_encoder_that_is_not_found_can_be_named(bands, bands_probe, songs):
    with pytest.raises(UserError, match=r"(?s)no encoder is called 'bands'.*name it with --encoder"):
        predict(bands_probe, songs[:1])
    with pytest.raises(UserError, match="no encoder is called 'brands'"):
        predict(bands_probe, songs[:1], encoder="brands")
    with pytest.raises(UserError, match="is not the 'bands'"):
        predict(bands_probe, songs[:1], encoder="chroma")


def test_another_way_of_feeding_is_refused_and_another_decoder_is_told(bands, make_probe, songs):
    kernel, said = np.eye(16)[:, :3], Said()
    other = make_probe(bands, kernel, space={"key": "other", "pooling": "max"})
    with pytest.raises(UserError, match=r"fed in another way.*\(pooling\)"):
        predict(other, songs[:1], encoder=bands, report=said)
    older = make_probe(bands, kernel, space={"key": "other", "pipeline": "0; libsndfile 1"})
    _, (one,) = predict(older, songs[:1], encoder=bands, report=said)
    assert one.outputs is not None
    assert "decoded by 0; libsndfile 1" in said.lines[0]
    unknown = make_probe(bands, kernel, space={"key": "other"})
    with pytest.raises(UserError, match="an unknown part"):
        predict(unknown, songs[:1], encoder=bands)


def test_embeddings_that_were_given_have_no_encoder(bands, make_probe, songs):
    folder = make_probe(bands, np.eye(16)[:, :3])
    data = json.loads((folder / "probe.json").read_text(encoding="utf-8"))
    data["encoder"]["space"] = {"key": "k"}
    del data["sha256"]
    data["sha256"] = content_digest(data)
    (folder / "probe.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError, match=r"embeddings that were given.*probe\.onnx"):
        predict(folder, songs[:1], encoder=bands)


def test_a_probe_of_another_width_is_refused(bands, make_probe, songs):
    with pytest.raises(UserError, match="takes 15 numbers, and the encoder 'bands' gives 16"):
        predict(make_probe(bands, np.eye(15)[:, :3]), songs[:1], encoder=bands)


def test_a_layer_is_taken_from_the_row_of_all(bands, make_probe, songs):
    class Layered(type(bands)):
        layers = ("first", "second")

        def embed(self, waveforms):
            found = super().embed(waveforms)
            return np.stack([np.zeros_like(found), found], axis=1)

    kernel = np.zeros((16, 3))
    kernel[0, 0] = kernel[2, 1] = kernel[7, 2] = 2
    answers = {}
    for layer in (0, 1):
        folder = make_probe(Layered(), kernel, layer=layer, folder=f"probe{layer}")
        _, (one,) = predict(folder, songs[1:2], encoder=Layered())
        answers[layer] = one.outputs
    np.testing.assert_allclose(answers[0], [1 / 3] * 3, rtol=1e-6)
    assert answers[1].argmax() == 1
    for layer, width in ((2, 16), (1, 32)):
        folder = make_probe(Layered(), np.zeros((width, 3)), layer=layer, folder=f"other{layer}")
        with pytest.raises(UserError, match=f"takes {width} numbers of layer {layer}.*gives 32"):
            predict(folder, songs[:1], encoder=Layered())
    with pytest.raises(UserError, match="of layer 0"):
        predict(make_probe(bands, kernel, layer=0), songs[:1], encoder=bands)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"files": []}, "no audio file"), ({"batch_size": 0}, "--batch-size"), ({"workers": -1}, "--workers")],
)
def test_arguments_that_make_no_sense_are_refused(bands, bands_probe, songs, change, message):
    arguments = {"probe": bands_probe, "files": songs[:1], "encoder": bands, **change}
    with pytest.raises(UserError, match=message):
        benchmark.predict(**arguments)


def test_a_damaged_probe_is_the_users_to_mend(bands, bands_probe, songs):
    (bands_probe / "probe.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="is not as it was written"):
        predict(bands_probe, songs[:1], encoder=bands)


# what is printed


def run(folder, files, **changed):
    arguments = {
        "encoder": f"{folder.parent / 'mine.py'}:Loudness",
        "home": None, "device": "cpu", "batch_size": 4, "workers": 0, "top_k": None, "as_json": False,
    }  # fmt: skip
    commands.predict(files, folder, **{**arguments, **changed})


@pytest.fixture
def loudness(make_probe, tmp_path):
    """The folder of a probe whose encoder is a file, and talks."""
    from benchmark.encoders.registry import resolve_one

    (tmp_path / "mine.py").write_text(PLUGIN)
    text = f"{tmp_path / 'mine.py'}:Loudness"
    return make_probe(resolve_one(text), [[9, -9, 0], [0, 0, 0]], "multilabel", ("loud", "quiet", "x"), text=text)


def test_the_command_prints_the_most_probable_labels_first_and_nothing_else(loudness, songs, capfd):
    run(loudness, songs[:2])
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"{songs[0]} (0:02)"
    assert [line.split()[1] for line in lines[1:4]] == ["loud", "x", "quiet"]
    assert lines[2] == "  50.0%  x"
    assert lines[4:6] == ["", f"{songs[1]} (0:02)"]
    assert "talks" not in out
    assert "talks" in err


def test_the_command_ends_with_2_after_it_has_answered_the_rest(loudness, songs, tmp_path, capfd):
    with pytest.raises(typer.Exit) as end:
        run(loudness, [tmp_path / "nowhere.mp3", songs[0]])
    assert end.value.exit_code == 2
    out, err = capfd.readouterr()
    assert out.startswith(f"{songs[0]} (0:02)\n")
    assert f"bench: {tmp_path / 'nowhere.mp3'}: the file is missing" in err


def test_json_has_every_label_and_every_file(loudness, songs, tmp_path, capfd):
    with pytest.raises(typer.Exit):
        run(loudness, [songs[0], tmp_path / "nowhere.mp3"], as_json=True)
    data = json.loads(capfd.readouterr().out)
    assert (data["task"], data["kind"], data["encoder"]) == ("tones", "multilabel", "loudness")
    first, second = data["files"]
    assert list(first["outputs"]) == ["loud", "x", "quiet"]
    assert first["outputs"]["x"] == 0.5
    assert (second["file"], "outputs" in second) == (str(tmp_path / "nowhere.mp3"), False)
    assert "missing" in second["problem"]
    run(loudness, songs[:1], as_json=True, top_k=1)
    assert list(json.loads(capfd.readouterr().out)["files"][0]["outputs"]) == ["loud"]


def test_json_of_many_is_one_document_and_of_none_too(loudness, songs, capfd):
    run(loudness, songs, as_json=True)
    text = capfd.readouterr().out
    data = json.loads(text)
    assert [one["file"] for one in data["files"]] == [str(song) for song in songs]
    assert text == json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def test_text_comes_file_by_file(loudness, songs, monkeypatch, capfd):
    """Nothing is held back until the last file is decoded."""
    seen = []

    def decode(paths, rule, workers):
        for path in paths:
            seen.append(capfd.readouterr().out)
            yield from reading(  # one after the other
                [path], rule, 0
            )

    reading = module.decode_all
    monkeypatch.setattr(module, "decode_all", decode)
    run(loudness, songs)
    assert [text.count("loud") for text in seen] == [0, 1, 1]


def test_a_folder_is_written_to_a_table_and_continued(loudness, songs, tmp_path, capfd):
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    for song in songs:
        song.rename(folder / song.name)
    tone(folder / "deep" / "low.flac", 150)
    (folder / "notes.txt").write_text("x")
    (folder / "broken.wav").write_text("no audio")
    out = tmp_path / "labels.csv"
    with pytest.raises(typer.Exit) as end:
        run(loudness, [folder], output=out)
    assert end.value.exit_code == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert "1 files have no suffix of audio and are left aside: notes.txt" in stderr
    assert f"bench: {folder / 'broken.wav'}: " in stderr
    assert f"{out}: 5 rows, 1 with a problem" in stderr
    rows = list(csv.DictReader(out.open(newline="")))
    names = ["broken.wav", "deep/low.flac", "high.flac", "low.flac", "middle.flac"]
    assert [row["path"] for row in rows] == [str(folder / name) for name in names]
    assert list(rows[0]) == [
        "path", "seconds", "problem", "labels", "uncertainty", "loud", "quiet", "x", "size", "mtime_ns", "probe",
    ]  # fmt: skip
    assert rows[0]["problem"]
    assert rows[0]["loud"] == rows[0]["labels"] == ""
    assert float(rows[1]["loud"]) + float(rows[1]["quiet"]) == pytest.approx(1)
    assert (rows[1]["labels"], rows[1]["seconds"]) == ("loud", "2.300")
    (folder / "broken.wav").unlink()
    tone(folder / "new.wav", 900)
    run(loudness, [folder], output=out)
    stderr = capfd.readouterr().err
    assert f"{out}: continues at 4 of 5" in stderr
    assert "1 rows of files that are not named now, or have changed, are left out" in stderr
    assert [row["path"] for row in csv.DictReader(out.open(newline=""))] == [
        str(folder / name) for name in [*names[1:], "new.wav"]
    ]


def test_a_kept_problem_still_ends_with_2(loudness, songs, tmp_path, capfd):
    (tmp_path / "broken.wav").write_text("no audio")
    for words in ("2 rows, 1 with a problem", "continues at 2 of 2: every row is there"):
        with pytest.raises(typer.Exit):
            run(loudness, [songs[0], tmp_path / "broken.wav"], output=tmp_path / "labels.parquet")
        assert words in capfd.readouterr().err


def test_a_killed_process_is_continued(loudness, songs, tmp_path):
    """Kill it when the first row is there; decoding is slowed down by the encoder's file."""
    import signal
    import subprocess
    import time

    out = tmp_path / "labels.csv"
    code = "import time, benchmark.jobs.labelled as m\nold = m.row_of\n"
    code += "m.row_of = lambda one: (time.sleep(0.5), old(one))[1]\n"
    code += "from benchmark.cli.main import main\nmain()\n"
    encoder = f"{tmp_path / 'mine.py'}:Loudness"
    command = ["predict", *map(str, songs), "--probe", str(loudness), "-e", encoder, "-o", str(out), "--workers", "0"]
    process = subprocess.Popen([sys.executable, "-c", code, *command], stderr=subprocess.DEVNULL)
    while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < 2):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert out.read_bytes().count(b"\n") < 4
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *command], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "continues at" in done.stderr
    assert [row["path"] for row in csv.DictReader(out.open(newline=""))] == list(map(str, songs))


def test_an_output_is_refused_before_the_encoder_is_opened(loudness, songs, tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        run(loudness, songs, output=tmp_path, encoder="nobody")


# calibration, thresholds, uncertainty


@pytest.fixture
def decided(loudness):
    """The probe of loudness with a calibration and thresholds: x is given above 0.7 alone, quiet never."""
    from probes.export.card import CalibrationPart, ErrorPart, ReachedPart, RulePart, ThresholdsPart

    probe, card = load(loudness)
    errors = {split: ErrorPart(ece=0.1, nll=0.5) for split in ("valid", "test")}
    reached = ReachedPart(precision=0.9, recall=0.5, f1=0.643)
    rule = RulePart(thresholds=(0.6, None, 0.7), valid=(reached, None, reached), test=(reached, None, reached))
    return export(
        probe,
        card.model_copy(
            update={
                "calibration": CalibrationPart(
                    method="platt", slopes=(2.0, 1.0, 1.0), offsets=(0.0, 0.0, 1.0), before=errors, after=errors
                ),
                "thresholds": ThresholdsPart(rules={"f1": rule}, positives={"valid": (9, 0, 9), "test": (9, 0, 9)}),
            }
        ),
        loudness,
        "# A page",
    )


def odds(p):
    return p / (1 - p)


def test_probabilities_are_calibrated_unless_raw_ones_are_asked_for(decided, songs, tmp_path, capfd):
    run(decided, songs[:1], as_json=True)
    (found,) = json.loads(capfd.readouterr().out)["files"]
    run(decided, songs[:1], as_json=True, raw=True)
    (raw,) = json.loads(capfd.readouterr().out)["files"]
    assert raw["outputs"]["x"] == 0.5
    assert found["outputs"]["x"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert found["outputs"]["quiet"] == pytest.approx(raw["outputs"]["quiet"])
    assert odds(found["outputs"]["loud"]) == pytest.approx(odds(raw["outputs"]["loud"]) ** 2, rel=1e-4)
    assert found["uncertainty"] == raw["uncertainty"]


def test_labels_above_their_thresholds_are_given_and_it_is_said_what_these_reach(decided, songs, tmp_path, capfd):
    run(decided, songs[:1], threshold="f1")
    out, err = capfd.readouterr()
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["loud", "x"]
    said = " ".join(err.split())
    assert "Thresholds f1 of 2 labels, chosen on valid: precision 0.90, recall 0.50, F1 0.64; on test it gives" in said
    assert "never given: quiet" in said
    run(decided, songs[:1], threshold="0.99", output=tmp_path / "a.csv")
    (row,) = csv.DictReader((tmp_path / "a.csv").open(newline=""))
    assert row["labels"] == ""
    assert row["probe"].endswith(" 0.99")
    run(decided, songs[:1], threshold="0.99")
    assert "no label is above its threshold" in capfd.readouterr().out
    with pytest.raises(UserError, match="rows of another probe, or of another choice"):
        run(decided, songs[:1], threshold="f1", output=tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("precision>=0.91", r"holds no such thresholds: give one of f1"),
        ("best", "holds no such thresholds"),
        ("1.5", "from 0 to 1"),
        ("nan", "from 0 to 1"),
    ],
)
def test_thresholds_that_are_not_there_are_refused(decided, songs, rule, words):
    with pytest.raises(UserError, match=words):
        run(decided, songs[:1], threshold=rule)


def test_an_older_probe_takes_numbers_alone(loudness, songs, capfd):
    run(loudness, songs[:1], threshold="0.4")
    assert [line.split()[1] for line in capfd.readouterr().out.splitlines()[1:]] == ["loud", "x"]
    with pytest.raises(UserError, match="Export it again with 'bench run --export', or give a number"):
        run(loudness, songs[:1], threshold="f1")


def test_the_least_certain_files_are_listed_also_those_whose_rows_are_kept(bands, make_probe, songs, tmp_path, capfd):
    folder = make_probe(bands, np.eye(16)[:, [0, 2, 7]] * 0.2)
    whole = [found.outputs for found in predict(folder, songs, encoder=bands)[1]]
    margins = [1 - (np.sort(p)[-1] - np.sort(p)[-2]) for p in whole]
    order = np.argsort(margins)[::-1]
    for _ in range(2):
        run(folder, songs, encoder=bands, uncertain=2, output=tmp_path / "l.csv")
        lines = capfd.readouterr().out.splitlines()
        assert lines[0].startswith("To be looked at first")
        assert [line.split()[1] for line in lines[1:]] == [str(songs[i]) for i in order[:2]]
    rows = list(csv.DictReader((tmp_path / "l.csv").open(newline="")))
    assert [float(row["uncertainty"]) for row in rows] == pytest.approx(margins, abs=1e-5)


def test_of_several_labels_the_nearest_to_its_threshold_counts():
    from benchmark.jobs.labelled import _nearness

    assert _nearness(np.array([0.6, 0.1]), np.array([0.6, 0.5])) == 1
    assert _nearness(np.array([1.0, 0.0]), np.array([0.6, 0.5])) == 0
    assert _nearness(np.array([0.8, 0.0]), np.array([0.6, np.nan])) == pytest.approx(0.5)
    assert _nearness(np.array([0.8]), np.array([np.nan])) == 0


@pytest.mark.parametrize("choice", [{"threshold": "f1"}, {"uncertain": 3}])
def test_of_a_regression_there_are_neither_thresholds_nor_uncertainty(bands, make_probe, songs, choice, tmp_path):
    folder = make_probe(bands, np.eye(16)[:, :2], "regression", ("valence", "labels"))
    with pytest.raises(UserError, match="is a regression, whose values have no probabilities: leave it out"):
        run(folder, songs[:1], encoder=bands, **choice)
    run(folder, songs[:1], encoder=bands, output=tmp_path / "l.csv")
    with (tmp_path / "l.csv").open(newline="") as file:
        assert next(csv.reader(file))[:5] == ["path", "seconds", "problem", "valence", "labels"]


def test_from_python_there_is_a_record_for_each_file(decided, songs, tmp_path):
    encoder = f"{tmp_path / 'mine.py'}:Loudness"
    found = benchmark.predict(decided, [songs[0], tmp_path / "nowhere.wav"], threshold="f1", encoder=encoder)
    assert [one.path for one in found] == [songs[0], tmp_path / "nowhere.wav"]
    assert found[0].labels == ("loud", "x")
    assert list(found[0].outputs) == ["loud", "quiet", "x"]
    assert 0 <= found[0].uncertainty <= 1
    assert (found[1].outputs, found[1].labels) == (None, ())
    assert "missing" in found[1].problem
    (one,) = benchmark.predict(str(decided), str(songs[0]), threshold=0.5, raw=True, encoder=encoder)
    assert one.outputs["x"] == 0.5
    with pytest.raises(UserError, match="no audio file was named"):
        benchmark.predict(decided, [], encoder=encoder)


def card_with(kind, labels):
    return ProbeCard(
        kind=kind, activation=ACTIVATIONS[kind], labels=labels, metrics=("m",), protocol="paper", seed=0,
        settings={}, scores={}, versions={},
        task=TaskPart(id="t", title="T", version=1, fingerprint="f"),
        encoder=EncoderPart(id="e", text="e", version="1", fingerprint="f", space={}),
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "shown"), [("multilabel", 10), ("multiclass", 5)])
def test_so_many_labels_are_shown(kind, shown):
    card, outputs = card_with(kind, tuple(f"l{i}" for i in range(20))), np.linspace(0, 1, 20, dtype=np.float32)
    found = ranked(card, outputs, None)
    assert [label for label, _ in found] == [f"l{i}" for i in range(19, 19 - shown, -1)]
    assert len(ranked(card, outputs, 3)) == 3
    assert len(ranked(card, outputs, 99)) == 20


def test_values_keep_their_order_and_their_names():
    card = card_with("regression", ("valence", "a"))
    found = module.Prediction(Path("song.mp3"), np.float32([-1.25, 3]), 75.4, clipped=True)
    assert format_prediction(card, found, None).splitlines() == [
        "song.mp3 (1:15, clipped)", "  valence  -1.250", "  a        3.000",
    ]  # fmt: skip
    assert as_data(card, [found], None)["files"] == [
        {"file": "song.mp3", "seconds": 75.4, "clipped": True, "outputs": {"valence": -1.25, "a": 3.0}}
    ]


def test_labels_cannot_steer_the_terminal():
    card = card_with("multilabel", ("\x1b[31mred\r\n",))
    words = format_prediction(card, module.Prediction(Path("a\x07.mp3"), np.float32([0.5]), 1.0), None)
    assert "\x1b" not in words
    assert "\r" not in words
    assert "\x07" not in words
    assert len(words.splitlines()) == 2


def test_a_numpy_encoder_needs_no_torch(make_probe, tmp_path, songs, bands):
    import subprocess

    from benchmark.encoders.registry import resolve_one

    folder = make_probe(resolve_one("logmel"), np.zeros((resolve_one("logmel").dim, 2)), labels=("a", "b"))
    code = (
        "import sys\nfrom pathlib import Path\nfrom benchmark.jobs.predict import open_predictor\n"
        "found = list(open_predictor(Path(sys.argv[1])).each([Path(sys.argv[2])]))\n"
        "assert found[0].outputs.tolist() == [0.5, 0.5]\n"
        "assert not {'torch', 'onnx', 'optuna'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder, songs[0]], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


class TestInANotebook:
    def test_the_largest_outputs_are_a_table_and_names_stay_text(self):
        hostile = "</script><img src=x>"
        outputs = {hostile: 0.9} | {f"label {n}": n / 100 for n in range(20)}
        html = FilePrediction(Path("a") / "<b>.mp3", 3.25, outputs, (hostile,), 0.1)._repr_html_()
        assert "<img" not in html
        assert "<b>" not in html
        assert "&lt;/script&gt;" in html.partition("label 19")[0]
        assert html.count("<tr>") == 11  # the head, and ten labels
        assert "0.900" in html
        assert "11 more." in html

    def test_a_file_that_cannot_be_used_shows_why(self):
        html = FilePrediction(Path("a.mp3"), 0.0, None, problem="it is <cut> off")._repr_html_()
        assert "it is &lt;cut&gt; off" in html
