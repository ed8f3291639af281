"""Cost: what an encoder takes, beside what it gives; which one shall be deployed?"""

from __future__ import annotations

from typing import Any

from benchmark.reports.figures.choice import Column, columns, label_of, other_metrics
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import Spec, data, number, spec, told_apart, tooltip, wide_number
from results.record import Record
from results.together import Together

HOURS = 1000.0
FLOAT = 4  # bytes of a number in an embedding
PANEL = 130
#: By column: the axis, and what a record lacks that has no mark there.
PANELS = {
    "speed": ("seconds of audio a second (more is better)", "how fast it embeds"),
    "megabytes": ("MB of embeddings, one a window, for 1,000 h", "how many windows an hour has"),
    "dim": ("numbers in an embedding", ""),
    "parameters": ("parameters of the encoder", "how many parameters it has"),
}
#: By column: why it may not be known.
WHY = {
    "speed": "its embeddings were in the store, or were given",
    "megabytes": "embeddings were given",
    "parameters": "it has no network of torch, its embeddings were in the store, or the record is older",
}


def cost(together: Together, request: Request) -> Drawn:
    """Draw score against speed, megabytes and size of the embeddings, for each task."""
    everybody = sorted({label_of(record) for record in together.records})
    figures, notes = [], other_metrics(together.records, request.metric)
    for column in columns(together.records, request.metric):
        figure, told = _figure(column, everybody)
        figures.append(figure)
        notes += told
    return Drawn(tuple(figures), tuple(notes))


def speed_of(record: Record) -> float | None:
    """Return how many seconds of audio were embedded a second; ``None`` where all of it was in the store."""
    seconds = record.data.audio_seconds
    return None if seconds is None or record.seconds.embed <= 0 else seconds / record.seconds.embed


def megabytes_of(record: Record) -> float | None:
    """Return the megabytes of an embedding a window over 1,000 hours; ``None`` where the windows are not known."""
    hop = record.encoder.hop_seconds or record.encoder.window_seconds
    return None if not hop else HOURS * 3600 / hop * record.encoder.dim * FLOAT / 1e6


def _figure(column: Column, everybody: list[str]) -> tuple[Figure, list[str]]:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for record in column.records:
        score = record.scores.test[column.metric]
        machine = record.hardware
        rows.append(
            {
                "encoder": label_of(record), "score": score.value, "low": score.low, "high": score.high,
                "speed": speed_of(record), "dim": record.encoder.dim, "megabytes": megabytes_of(record),
                "parameters": record.encoder.parameters,
                "hop_seconds": record.encoder.hop_seconds, "audio_seconds": record.data.audio_seconds,
                "embed_seconds": record.seconds.embed, "probe_parameters": record.probe.parameters,
                "machine": machine.accelerator if machine.device != "cpu" and machine.accelerator else machine.cpu,
            }
        )  # fmt: skip
    frame: Any = pd.DataFrame(rows)
    numbers = ["low", "high", "speed", "megabytes", "parameters", "hop_seconds", "audio_seconds"]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    metric = column.metric.replace("_", " ")
    shown = [name for name in PANELS if frame[name].notna().any()]
    notes = [
        f"{column.words}: {PANELS[name][1]} is not known of {', '.join(frame.encoder[frame[name].isna()])}"
        + f" ({WHY[name]})."
        for name in PANELS
        if frame[name].isna().any()
    ]
    axes = ", ".join(PANELS[name][0] for name in shown)
    description = f"{metric} on test of {len(frame)} encoder(s) on {column.words} against {axes}. "
    if "speed" in shown:
        fast = frame.loc[frame.speed.idxmax()]
        description += f"The fastest: {fast.encoder}, {fast.speed:,.0f} s of audio a second, {fast.score:.3f}. "
    description += (
        "Speed is of the run that embedded, decoding included, on its machine; where a part of the embeddings was in "
        "the store it is too high."
    )
    names = list(frame.encoder)
    apart = told_apart("encoder", names, everybody)
    y = number("score", f"{metric} (test)")
    y["axis"] |= {"tickCount": 4, "titleLimit": PANEL}
    hint = tooltip(encoder="encoder", score="#score", low="#low", high="#high", audio_s_a_second="#speed", dim="#dim",
                   MB_for_1000_h="#megabytes", parameters="#parameters", machine="machine")  # fmt: skip
    panels: list[Spec] = []
    for name in shown:
        x = wide_number(name, PANELS[name][0], frame[name])
        known = {"filter": f"isValid(datum.{name})"}
        panels.append(
            {
                "height": PANEL,
                "transform": [known],
                "encoding": {"x": x},
                "layer": [
                    {
                        "transform": [{"filter": "isValid(datum.low)"}],
                        "mark": {"type": "rule"},
                        "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": apart["color"]},
                    },
                    {"mark": {"type": "point"}, "encoding": {"y": y, **apart, "tooltip": hint}},
                ],
            }
        )
    values = data(frame, ["encoder", "score", "low", "high", "speed", "dim", "megabytes", "parameters", "machine"])
    title = f"{column.words}: {metric} against cost"
    figure = Figure(
        "cost", f"cost-{column.slug}", title, description, frame, spec(description, {"vconcat": panels}, values)
    )
    return figure, notes
