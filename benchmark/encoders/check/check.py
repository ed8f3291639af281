"""``bench encoders check``: whether an encoder keeps its contract on a few seconds of generated audio.

The same check runs by itself before many tracks are embedded, so that a mistake costs seconds and not hours. There it
has a limit, and says which rules a slow encoder was not held to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.windows import WindowRule
from benchmark.encoders.base import Encoder
from benchmark.encoders.check import rules as rules
from benchmark.encoders.check.rules import Finding, Reopened
from benchmark.encoders.check.sounds import clicks, noise, silence, sounds
from benchmark.encoders.check.speed import Speed, timed
from benchmark.encoders.check.subject import SOUNDS, Subject, said
from benchmark.encoders.declarations import check_declarations
from benchmark.encoders.outputs import EncoderOutput, OutputError, as_rows, call_encoder
from benchmark.encoders.remote import RemoteEncoder
from benchmark.encoders.windowing import window_rule
from benchmark.errors import UserError
from benchmark.system.machine import threads_for
from benchmark.system.stdout import stdout_to_stderr

if TYPE_CHECKING:
    pass


FITTED_ON = 8  # made-up windows, for an encoder that needs a training split
PATIENCE = 4.0  # seconds that one call may be expected to take; a longer one is made smaller
CPU_SLOWER = 100.0  # times than another device, at worst


@dataclass(frozen=True)
class Check:
    """What a check found, and how fast the encoder was; nothing is known of the speed of one that does not run.

    ``left_out`` names the rules that there was no time for.
    """

    findings: tuple[Finding, ...]
    speed: Speed | None = None
    left_out: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The rules that the encoder breaks."""
        return tuple(finding for finding in self.findings if not finding.passed)


def check(
    encoder: Encoder,
    device: str = "cpu",
    *,
    windows: WindowRule | None = None,
    batch_size: int = 32,
    fingerprint: str | None = None,
    fit: bool = True,
    seconds: float = math.inf,
    again: Callable[[int, int], Reopened] | None = None,
) -> Check:
    """Run an encoder on a few seconds of made-up audio and hold it to every rule that there is time for.

    Args:
        encoder: The encoder; it is moved to ``device``.
        device: torch's name of the device.
        windows: How it is fed; its own windows by default.
        batch_size: Windows in the batch that is timed, fewer where that would take long.
        fingerprint: Its fingerprint where that is known already.
        fit: Whether one that needs it is to be fitted first, on made-up audio; a copy of it then.
        seconds: What it may take from the first call on, which is made in any case, like a second one where the first
            is in time. Under such a limit the speed is not measured.
        again: Opens it a second time and embeds so many sounds of so many samples, where it can be named.

    What the encoder prints goes to stderr. Where it does not run at all, the rules that need it to are left out.
    """
    try:
        check_declarations(encoder)
        windows = windows or window_rule(encoder, None, None)
        before = fingerprint or encoder.fingerprint()
    except UserError as error:
        return Check((Finding("declarations", False, str(error)),))
    with stdout_to_stderr(), threads_for(encoder.arrays):
        findings = [_declared(encoder, windows)]
        if encoder.fitted and fit:
            try:
                twice = fitted_for_check(encoder, windows).fingerprint()
                encoder = fitted_for_check(encoder, windows)
                before = encoder.fingerprint()
            except Exception as error:
                return Check((*findings, Finding("fit", False, f"fit() {said(error)}")))
            same = "the same state" if before == twice else "two states: it must be deterministic"
            findings.append(Finding("fit", before == twice, f"on {FITTED_ON} made-up windows, twice, it left {same}"))
        subject = Subject(encoder, device, windows, seconds)
        try:
            encoder.to(device)
            output, rows = subject.first()
        except Exception as error:
            rule = error.rule if isinstance(error, OutputError) else "runs"
            inputs = (
                f"{subject.count or SOUNDS} input{'s' * (subject.count != 1)} of {subject.in_seconds(subject.usual)}"
            )
            return Check((*findings, Finding(rule, False, f"on {inputs} it {said(error)}")))
        findings += [
            rules.shape(encoder, output), rules.dtype(output), rules.layers_counted(encoder, output),
            rules.no_graph(output),
        ]  # fmt: skip
        findings += _compared(subject, output, rows)
        speed = None if subject.limited else _speed(subject, batch_size)
        longest = _longest_in_time(subject, speed.per_second if speed else subject.pace)
        findings += _extremes(subject, longest)
        findings += _behind_others(subject, output, rows, longest)
        if encoder.weights_found is not None:
            findings.append(rules.weights(encoder.weights_found))
        if encoder.card is not None:
            findings += subject.tried("card", subject.usual, lambda: _as_card(subject))
        findings.append(rules.evaluation_mode(encoder))
        if device != "cpu":
            findings += _on_the_cpu(subject, rows)
        findings += subject.tried("fingerprint", 0, lambda: rules.fingerprint_unchanged(before, encoder.fingerprint()))
        if again is not None:
            findings += _opened_twice(subject, output, rows, before, again)
    return Check(tuple(findings), speed, tuple(subject.left_out))


def fitted_for_check(encoder: Encoder, windows: WindowRule) -> Encoder:
    """Return a copy of an encoder that is fitted on made-up windows; whatever :meth:`fit` raises passes through."""
    from benchmark.encoders.base import copy_of

    fitted = copy_of(encoder)
    usual = Subject(encoder, "cpu", windows).usual
    fitted.fit(iter(sounds(FITTED_ON, usual, encoder.sample_rate, encoder.channels)))
    return fitted


def _declared(encoder: Encoder, windows: WindowRule) -> Finding:
    rate = encoder.sample_rate
    cut = "whole tracks" if windows.window is None else f"windows of {windows.window / rate:g} s"
    layers = f"{len(encoder.layers)} layers of " if encoder.layers else ""
    audio = f"{rate} Hz {'mono' if encoder.channels == 1 else 'stereo'}"
    return Finding("declarations", True, f"{layers}dim {encoder.dim}, {audio}, {cut}")


def _compared(subject: Subject, output: EncoderOutput, rows: np.ndarray) -> list[Finding]:
    """Compare sounds with each other; ask again: the same batch, its first and last alone, and all in another order."""
    most, layers, usual = rules.tolerance_of(subject.encoder, output), subject.layers, subject.usual
    batch = sounds(len(rows), usual, subject.rate, subject.encoder.channels)
    order = np.roll(np.arange(len(rows)), 1)
    ends = [0, len(rows) - 1]

    def alone() -> Finding:
        single = np.concatenate([subject.rows(batch[i : i + 1]) for i in ends])
        return rules.same("batch", single, rows[ends], most, layers, f"alone and in a batch of {len(rows)}")

    several = len(rows) > 1
    if several:
        findings = [rules.inputs_matter(rows)]
    else:
        findings = []
        subject.left_out.append("inputs matter")
    findings += subject.tried(
        "deterministic", len(rows) * usual, lambda: rules.same("deterministic", subject.rows(batch), rows, most, layers)
    )
    if not several:
        subject.left_out += ["batch", "order"]
        return findings
    findings += subject.tried("batch", 2 * usual, alone)
    findings += subject.tried(
        "order",
        len(rows) * usual,
        lambda: rules.same("order", subject.rows(batch[order]), rows[order], most, layers),
    )
    return findings


def _longest_in_time(subject: Subject, pace: float) -> int:
    """Return the samples of the longest input that is tried: its own, or what :data:`PATIENCE` allows."""
    if pace * subject.longest / subject.rate > PATIENCE:
        return max(subject.usual, min(subject.longest, round(PATIENCE / pace * subject.rate)))
    return subject.longest


def _extremes(subject: Subject, longest: int) -> list[Finding]:
    """Silence, noise at full scale and clicks; the shortest and the longest input."""
    channels = subject.encoder.channels
    hostile = {"silence": silence, "full-scale noise": noise, "clicks": clicks}
    waveforms = np.stack([np.tile(make(subject.usual), (channels, 1)) for make in hostile.values()])

    def finite() -> Finding:
        return rules.finite(dict(zip(hostile, subject.rows(waveforms), strict=True)))

    findings = subject.tried("finite", len(hostile) * subject.usual, finite)
    for rule, samples in (("shortest input", subject.shortest), ("longest input", longest)):
        findings += _length(subject, rule, samples)
    return findings


def _behind_others(subject: Subject, output: EncoderOutput, rows: np.ndarray, longest: int) -> list[Finding]:
    """Ask for the first batch once more behind the inputs of :func:`_extremes`, of which nothing may be left.

    No batch holds several lengths, as windows of a batch are equally long; so this is how lengths meet in a run. That a
    sound alone is the sound in a batch is the rule ``batch``.
    """
    most, layers = rules.tolerance_of(subject.encoder, output), subject.layers
    batch = sounds(len(rows), subject.usual, subject.rate, subject.encoder.channels)
    others = [subject.in_seconds(n) for n in (subject.shortest, longest) if n != subject.usual]
    behind = f"inputs of {' and '.join(others)}" if others else "silence, noise and clicks: it takes one length"

    def again() -> Finding:
        return rules.same("other lengths", subject.rows(batch), rows, most, layers, f"behind {behind}")

    return subject.tried("other lengths", len(rows) * subject.usual, again)


def _as_card(subject: Subject) -> Finding:
    """Hold the encoder to its card, after a call of one sound."""
    subject.rows(sounds(1, subject.usual, subject.rate, subject.encoder.channels))
    return rules.as_card(subject.encoder, subject.usual / subject.rate)


def _length(subject: Subject, rule: str, samples: int) -> list[Finding]:
    what = subject.in_seconds(samples)
    if rule == "shortest input" and not subject.declared_minimum:
        what += " (no minimum_seconds is declared)"
    if rule == "longest input" and samples < subject.longest:
        what += f" (not {subject.in_seconds(subject.longest)}: that would take long)"
    if samples == subject.usual:
        return [Finding(rule, True, f"{what}, as tried above")]

    def measured() -> Finding:
        try:
            rows = subject.rows(sounds(1, samples, subject.rate, subject.encoder.channels))
        except Exception as error:
            return Finding(rule, False, f"on {what} it {said(error)}")
        return Finding(rule, bool(np.isfinite(rows).all()), what + ("" if np.isfinite(rows).all() else ": not finite"))

    return subject.tried(rule, samples, measured)


def _on_the_cpu(subject: Subject, rows: np.ndarray) -> list[Finding]:
    """Compare with the CPU, on the first two sounds; the encoder is moved back."""
    batch = sounds(len(rows), subject.usual, subject.rate, subject.encoder.channels)[:2]

    def compared() -> Finding:
        subject.encoder.to("cpu")
        try:
            output = call_encoder(subject.encoder, batch.copy(), "cpu")
            most = max(rules.DEVICE_TOLERANCE, rules.tolerance_of(subject.encoder, output))
            on_cpu = as_rows(subject.encoder, output, len(batch))
            return rules.same("device", rows[:2], on_cpu, most, subject.layers, f"{subject.device} and cpu")
        finally:
            subject.encoder.to(subject.device)

    return subject.tried("device", len(batch) * subject.usual, compared, CPU_SLOWER)


def _opened_twice(
    subject: Subject, output: EncoderOutput, rows: np.ndarray, fingerprint: str, again: Callable[[int, int], Reopened]
) -> list[Finding]:
    """Compare with a second opening, which has nothing of this one but what files hold."""
    most = rules.tolerance_of(subject.encoder, output)

    def compared() -> Finding:
        other = again(len(rows), subject.usual)
        return rules.opened_twice((fingerprint, rows), (other.fingerprint, other.rows), most, subject.layers)

    return subject.tried("opened twice", len(rows) * subject.usual, compared)


def _speed(subject: Subject, batch_size: int) -> Speed | None:
    """Time a call: of ``batch_size`` windows, or of one long input where whole tracks come one by one.

    Fewer or shorter where a first, small call says that it would take longer than :data:`PATIENCE`.
    """
    channels, rate = subject.encoder.channels, subject.rate
    by_windows = subject.usual == subject.longest

    def measure(batch: int, samples: int) -> Speed:
        waveforms = sounds(batch, samples, rate, channels)
        peak_of = subject.encoder.peak if isinstance(subject.encoder, RemoteEncoder) else None
        return timed(lambda: subject.rows(waveforms), batch, samples / rate, subject.device, peak_of)

    try:
        small = measure(min(4, batch_size) if by_windows else 1, subject.usual)
        full = (batch_size, subject.usual) if by_windows else (1, subject.longest)
        if small.per_second * full[0] * full[1] / rate > PATIENCE:
            return small
        return measure(*full)
    except Exception:
        return None  # what fails here fails in the rules too, with its numbers


def measure_speed(encoder: Encoder, device: str, windows: WindowRule, batch_size: int, budget: float) -> Speed | None:
    """Time ``encoder`` without checking it; ``None`` when it does not run, or not within ``budget`` seconds.

    The first call, which may load weights, is made in any case.
    """
    with stdout_to_stderr(), threads_for(encoder.arrays):
        started = time.perf_counter()
        try:
            if encoder.fitted:
                encoder = fitted_for_check(encoder, windows)
            subject = Subject(encoder, device, windows)
            encoder.to(device)
            subject.rows(sounds(1, subject.usual, subject.rate, encoder.channels))
        except Exception:
            return None
        first = time.perf_counter() - started
        if first > budget / 2:
            return None
        return _speed(subject, batch_size)
