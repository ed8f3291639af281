"""The page of an exported probe: what it answers, how well, how it decides, and how it is used."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from results.markdown import escaped

if TYPE_CHECKING:
    from probes.export.card import ProbeCard, ReachedPart

RULES = ("f1", "precision>=0.9")
SHOWN = 200  # labels in the table


def page_of(card: ProbeCard) -> str:
    """Return the README of a probe in Markdown: the same text for the same card, inert whatever labels hold."""
    encoder = card.encoder
    lines = [
        f"# {escaped(card.task.title)}: a probe on {escaped(encoder.id)}", "",
        f"A small network that answers the {card.kind} task `{_code(card.task.id)}` (version {card.task.version}) from "
        f"embeddings of the encoder {escaped(encoder.id)} (version {escaped(encoder.version)}), which "
        f"`{_code(encoder.text)}` names. Protocol {escaped(card.protocol)}, probe seed {card.seed}.", "",
        "## Scores", "", *_scores(card), "",
    ]  # fmt: skip
    if card.items:
        lines += [
            f"Settings, calibration and thresholds were chosen on the {card.items['valid']} items of valid "
            f"(task fingerprint `{_code(card.task.fingerprint[:12])}`). The {card.items['test']} items of test chose "
            "nothing.", "",
        ]  # fmt: skip
    lines += _calibration(card) + _thresholds(card) + _use(card)
    if card.licence:
        lines += ["## Licence", "", escaped(card.licence), ""]
    return "\n".join(lines)


def _scores(card: ProbeCard) -> list[str]:
    lines = ["| split | metric | this probe | mean over seeds | 95 % interval |", "| --- | --- | --- | --- | --- |"]
    for split, scores in card.scores.items():
        for metric, value in scores.items():
            mean = card.means.get(split, {}).get(metric)
            over = "-" if mean is None else f"{mean.value:.3f} ({mean.seeds})"
            interval = (
                "-" if mean is None or mean.low is None or mean.high is None else f"{mean.low:.3f} to {mean.high:.3f}"
            )
            lines.append(f"| {escaped(split)} | {escaped(metric)} | {value:.3f} | {over} | {interval} |")
    return lines


def _calibration(card: ProbeCard) -> list[str]:
    found = card.calibration
    if found is None:
        return []
    how = f"one temperature, {found.temperature:.4g}" if found.temperature else "a slope and an offset for each label"
    lines = [
        "## Calibration", "",
        f"Probabilities of `bench predict` are calibrated on valid by {how}; `--raw` and `probe.onnx` give the probe's "
        f"own. Expected calibration error ({found.bins} bins) and negative log-likelihood:", "",
        "| split | error before | after | negative log-likelihood before | after |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for split, before in found.before.items():
        after = found.after[split]
        lines.append(f"| {escaped(split)} | {before.ece:.3f} | {after.ece:.3f} | {before.nll:.3f} | {after.nll:.3f} |")
    lines.append("")
    for label, why in list(found.unchanged.items())[:SHOWN]:
        lines.append(f"- {escaped(label) or 'All'} as the probe gives it: {escaped(why)}.")
    return [*lines, ""] if found.unchanged else lines


def _thresholds(card: ProbeCard) -> list[str]:
    found = card.thresholds
    if found is None:
        return []
    lines = [
        "## Thresholds", "",
        "Chosen on valid, of calibrated probabilities: precision, recall and F1 on valid, and what the same threshold "
        f"gives on test. `--threshold` takes {', '.join(f'`{name}`' for name in found.rules)}, or a number.", "",
    ]  # fmt: skip
    for name in RULES:
        rule = found.rules.get(name)
        if rule is None:
            continue
        lines += [f"| {name} | threshold | valid | test |", "| --- | --- | --- | --- |"]
        rows = zip(card.labels, rule.thresholds, rule.valid, rule.test, strict=True)
        for label, at, valid, test in list(rows)[:SHOWN]:
            lines.append(
                f"| {escaped(label)} | {'none' if at is None else f'{at:.3f}'} | {_reached(valid)} | {_reached(test)} |"
            )
        lines.append("")
    return lines


def _reached(part: ReachedPart | None) -> str:
    if part is None:
        return "-"
    return ", ".join("-" if value is None else f"{value:.2f}" for value in (part.precision, part.recall, part.f1))


def _use(card: ProbeCard) -> list[str]:
    encoder = shlex.quote(_code(card.encoder.text))
    return [
        "## Use", "", "```console", "$ bench predict --probe THIS_FOLDER song.mp3",
        f"$ bench predict --probe THIS_FOLDER path/to/audio -o labels.csv    # -e {encoder} if it has moved", "```", "",
        "```python", "import benchmark", "", 'for file in benchmark.predict("THIS_FOLDER", ["song.mp3"]):',
        "    print(file.path, file.labels, file.outputs)", "```", "",
    ]  # fmt: skip


def _code(text: str) -> str:
    """Return a text for a span or a block of code: in one line, without what would end it."""
    return "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in text)
