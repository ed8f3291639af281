"""Event files are read back with TensorBoard's own reader."""

import socket
from dataclasses import replace

import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmark.tracking.tensorboard import open_tracker


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    return events


def scalars(events, name):
    return [(event.step, round(event.value, 6)) for event in events.Scalars(name)]


def text(events, name):
    (event,) = events.Tensors(f"{name}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def test_what_is_logged_is_read_back(about):
    tracker = open_tracker(about)
    tracker.log(1, {"loss": 0.5, "rate": 1e-3})
    tracker.log(2, {"loss": float("nan")})
    tracker.summarise({"test/accuracy": 0.75, "run_key": "abc", "probe/standardise": True})
    tracker.close("finished")
    events = read(about.events)
    assert scalars(events, "loss")[0] == (1, 0.5)
    assert scalars(events, "rate") == [(1, 0.001)]
    assert scalars(events, "test/accuracy") == [(0, 0.75)]
    assert "| abc |" in text(events, "result")
    assert "logmel\\|\\`x\\`" in text(events, "settings")  # a name of others is text there
    assert "_hparams_/experiment" in events.summary_metadata
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_steps_behind_the_one_that_is_resumed_are_not_shown(about):
    first = open_tracker(about)
    for step in (1, 2, 3, 4):
        first.log(step, {"loss": float(step)})
    second = open_tracker(replace(about, start=2))  # the first was killed
    second.log(3, {"loss": 30.0})
    second.close("finished")
    assert scalars(read(about.events), "loss") == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_the_name_of_the_machine_is_nowhere(about, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "lab-machine-7")
    tracker = open_tracker(about)
    tracker.log(1, {"a": 1.0})
    tracker.summarise({"b": 1.0})
    tracker.close("failed")
    (file,) = about.events.iterdir()
    assert file.name.startswith("events.out.tfevents.")
    assert "lab-machine-7" not in file.name
    assert b"lab-machine-7" not in file.read_bytes()
    assert str(about.folder).encode() not in file.read_bytes()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(about):
    about.events.parent.mkdir(exist_ok=True, parents=True)
    about.events.write_text("")
    with pytest.raises(OSError):
        open_tracker(about)
