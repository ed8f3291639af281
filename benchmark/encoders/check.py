"""``bench encoders check``: whether an encoder keeps its contract, seen on a few seconds of made-up audio.

The same check runs by itself before many tracks are embedded, so that a mistake costs seconds and not hours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.encoders import check_rules as rules
from benchmark.encoders.answers import Answer, AnswerError, ask, rows_of
from benchmark.encoders.base import Encoder
from benchmark.encoders.check_rules import Finding
from benchmark.encoders.speed import Speed, timed
from benchmark.errors import UserError
from benchmark.machine import threads_for
from benchmark.standard_streams import stdout_to_stderr
from benchmark.windows import WindowRule, window_rule

if TYPE_CHECKING:
    from benchmark.embeddings.space import Space

#: Tracks from which on an extraction checks its encoder first: below, the check could cost more than it saves.
CHECKED_ABOVE = 200

USUAL_SECONDS = 3.0  # of input where an encoder takes whole tracks
LONGEST_SECONDS = 30.0
SHORTEST_SECONDS = 0.1  # where no minimum is declared
FITTED_ON = 8  # made-up windows, for an encoder that needs a training split
PATIENCE = 4.0  # seconds that one call may be expected to take; a longer one is made smaller


@dataclass(frozen=True)
class Check:
    """What a check found, and how fast the encoder was; nothing is known of the speed of one that does not run."""

    findings: tuple[Finding, ...]
    speed: Speed | None = None

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The rules that the encoder breaks."""
        return tuple(finding for finding in self.findings if not finding.passed)


def check_before(encoder: Encoder, space: Space, tracks: int, device: str) -> None:
    """Check ``encoder`` before ``tracks`` are embedded into ``space``, if they are more than :data:`CHECKED_ABOVE`.

    Raises:
        UserError: It breaks rules; they are named with the numbers.
    """
    if tracks <= CHECKED_ABOVE:
        return
    # The key of a fitted encoder's space is made from what it was fitted on, not from its fitted state.
    fingerprint = encoder.fingerprint() if encoder.fitted else space.fingerprint
    found = check(encoder, device, windows=space.windows, fingerprint=fingerprint, batch_size=4, fit=False)
    if found.failures:
        lines = "\n".join(f"  {failure.rule}: {failure.numbers}" for failure in found.failures)
        raise UserError(
            f"the encoder {encoder.name!r} breaks {len(found.failures)} of {len(found.findings)} rules, so none of "
            f"{tracks:,} tracks was embedded:\n{lines}\n'bench encoders check' shows every rule."
        )


def check(
    encoder: Encoder,
    device: str = "cpu",
    *,
    windows: WindowRule | None = None,
    batch_size: int = 32,
    fingerprint: str | None = None,
    fit: bool = True,
) -> Check:
    """Run an encoder on a few seconds of made-up audio and hold it to every rule.

    Args:
        encoder: The encoder; it is moved to ``device``.
        device: torch's name of the device.
        windows: How it is fed; its own windows by default.
        batch_size: Windows in the batch that is timed, fewer where that would take long.
        fingerprint: Its fingerprint where that is known already.
        fit: Whether one that needs it is to be fitted first, on made-up audio; a copy of it then.

    What the encoder prints goes to stderr. Where it does not run at all, the rules that need it to are left out.
    """
    from benchmark.embeddings.space import check_declarations

    try:
        check_declarations(encoder)
        windows = windows or window_rule(encoder, None, None)
        before = fingerprint or encoder.fingerprint()
    except UserError as error:
        return Check((Finding("declarations", False, str(error)),))
    with stdout_to_stderr(), threads_for(encoder):
        findings = [_declared(encoder, windows)]
        if encoder.fitted and fit:
            try:
                again = _fitted(encoder, windows).fingerprint()
                encoder = _fitted(encoder, windows)
                before = encoder.fingerprint()
            except Exception as error:
                return Check((*findings, Finding("fit", False, f"fit() {_said(error)}")))
            same = "the same state" if before == again else "two states: it must be deterministic"
            findings.append(Finding("fit", before == again, f"on {FITTED_ON} made-up windows, twice, it left {same}"))
        subject = _Subject(encoder, device, windows)
        try:
            encoder.to(device)
            answer, rows = subject.answer(sounds(4, subject.usual, subject.rate, encoder.channels))
        except Exception as error:
            rule = error.rule if isinstance(error, AnswerError) else "runs"
            numbers = f"on 4 inputs of {_input_of(subject, subject.usual)} it {_said(error)}"
            return Check((*findings, Finding(rule, False, numbers)))
        findings += [
            rules.shape(encoder, answer), rules.dtype(answer), rules.layers_counted(encoder, answer),
            rules.no_graph(answer), rules.inputs_matter(rows),
        ]  # fmt: skip
        findings += _repeated(subject, answer, rows)
        speed = _speed(subject, batch_size)
        findings += _extremes(subject, speed)
        findings.append(rules.evaluation_mode(encoder))
        if device != "cpu":
            findings.append(_on_the_cpu(subject, rows))
        findings.append(_tried("fingerprint", lambda: rules.fingerprint_unchanged(before, encoder.fingerprint())))
    return Check(tuple(findings), speed)


def _fitted(encoder: Encoder, windows: WindowRule) -> Encoder:
    """Return a copy of an encoder that is fitted on made-up windows; whatever :meth:`fit` raises passes through."""
    from benchmark.embeddings.fit_hook import copy_of

    fitted = copy_of(encoder)
    usual = _Subject(encoder, "cpu", windows).usual
    fitted.fit(iter(sounds(FITTED_ON, usual, encoder.sample_rate, encoder.channels)))
    return fitted


class _Subject:
    """An encoder on a device with the lengths, in samples, that it is tried at."""

    def __init__(self, encoder: Encoder, device: str, windows: WindowRule) -> None:
        self.encoder, self.device, self.rate = encoder, device, encoder.sample_rate
        self.layers = len(encoder.layers or ("",))
        self.declared_minimum = windows.minimum
        # Audio up to a maximum comes as a whole; then a window of that length would be a long one to begin with.
        whole = windows.window is None or (
            encoder.window_seconds is None and windows.window == round((encoder.maximum_seconds or 0) * self.rate)
        )
        longest = windows.window if windows.window is not None else round(LONGEST_SECONDS * self.rate)
        self.longest = max(longest, windows.minimum)
        usual = max(round(USUAL_SECONDS * self.rate), windows.minimum) if whole else self.longest
        self.usual = max(1, min(usual, self.longest))
        self.shortest = windows.minimum or min(self.usual, round(SHORTEST_SECONDS * self.rate))

    def answer(self, waveforms: np.ndarray) -> tuple[Answer, np.ndarray]:
        """Return what the encoder answers, and that as rows [B, width]; the waveforms are its to write into."""
        answer = ask(self.encoder, waveforms.copy(), self.device)
        return answer, rows_of(self.encoder, answer, len(waveforms))

    def rows(self, waveforms: np.ndarray) -> np.ndarray:
        return self.answer(waveforms)[1]


def _declared(encoder: Encoder, windows: WindowRule) -> Finding:
    rate = encoder.sample_rate
    cut = "whole tracks" if windows.window is None else f"windows of {windows.window / rate:g} s"
    layers = f"{len(encoder.layers)} layers of " if encoder.layers else ""
    audio = f"{rate} Hz {'mono' if encoder.channels == 1 else 'stereo'}"
    return Finding("declarations", True, f"{layers}dim {encoder.dim}, {audio}, {cut}")


def _repeated(subject: _Subject, answer: Answer, rows: np.ndarray) -> Iterator[Finding]:
    """Ask again: the same batch, its first and last alone, and all in another order."""
    most, layers = rules.tolerance_of(subject.encoder, answer), subject.layers
    batch = sounds(len(rows), subject.usual, subject.rate, subject.encoder.channels)
    order = np.roll(np.arange(len(rows)), 1)
    ends = [0, len(rows) - 1]

    def alone() -> Finding:
        found = np.concatenate([subject.rows(batch[i : i + 1]) for i in ends])
        return rules.same("batch", found, rows[ends], most, layers, f"alone and in a batch of {len(rows)}")

    yield _tried("deterministic", lambda: rules.same("deterministic", subject.rows(batch), rows, most, layers))
    yield _tried("batch", alone)
    yield _tried("order", lambda: rules.same("order", subject.rows(batch[order]), rows[order], most, layers))


def _extremes(subject: _Subject, speed: Speed | None) -> Iterator[Finding]:
    """Silence, noise at full scale and clicks; the shortest and the longest input."""
    channels = subject.encoder.channels
    hostile = {"silence": silence, "full-scale noise": noise, "clicks": clicks}
    waveforms = np.stack([np.tile(make(subject.usual), (channels, 1)) for make in hostile.values()])

    def finite() -> Finding:
        return rules.finite(dict(zip(hostile, subject.rows(waveforms), strict=True)))

    yield _tried("finite", finite)
    longest = subject.longest
    if speed is not None and speed.per_second * longest / subject.rate > PATIENCE:
        longest = max(subject.usual, min(longest, round(PATIENCE / speed.per_second * subject.rate)))
    for rule, samples in (("shortest input", subject.shortest), ("longest input", longest)):
        yield _length(subject, rule, samples)


def _length(subject: _Subject, rule: str, samples: int) -> Finding:
    what = _input_of(subject, samples)
    if rule == "shortest input" and not subject.declared_minimum:
        what += " (no minimum_seconds is declared)"
    if rule == "longest input" and samples < subject.longest:
        what += f" (not {_input_of(subject, subject.longest)}: that would take long)"
    if samples == subject.usual:
        return Finding(rule, True, f"{what}, as tried above")

    def measured() -> Finding:
        try:
            rows = subject.rows(sounds(1, samples, subject.rate, subject.encoder.channels))
        except Exception as error:
            return Finding(rule, False, f"on {what} it {_said(error)}")
        return Finding(rule, bool(np.isfinite(rows).all()), what + ("" if np.isfinite(rows).all() else ": not finite"))

    return _tried(rule, measured)


def _on_the_cpu(subject: _Subject, rows: np.ndarray) -> Finding:
    """Compare with the CPU, on the first two sounds; the encoder is moved back."""
    batch = sounds(len(rows), subject.usual, subject.rate, subject.encoder.channels)[:2]

    def compared() -> Finding:
        subject.encoder.to("cpu")
        try:
            answer = ask(subject.encoder, batch.copy(), "cpu")
            most = max(rules.DEVICE_TOLERANCE, rules.tolerance_of(subject.encoder, answer))
            found = rows_of(subject.encoder, answer, len(batch))
            return rules.same("device", rows[:2], found, most, subject.layers, f"{subject.device} and cpu")
        finally:
            subject.encoder.to(subject.device)

    return _tried("device", compared)


def _speed(subject: _Subject, batch_size: int) -> Speed | None:
    """Time a call: of ``batch_size`` windows, or of one long input where whole tracks come one by one.

    Fewer or shorter where a first, small call says that it would take longer than :data:`PATIENCE`.
    """
    channels, rate = subject.encoder.channels, subject.rate
    by_windows = subject.usual == subject.longest

    def measure(batch: int, samples: int) -> Speed:
        waveforms = sounds(batch, samples, rate, channels)
        return timed(lambda: subject.rows(waveforms), batch, samples / rate, subject.device)

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
    with stdout_to_stderr(), threads_for(encoder):
        started = time.perf_counter()
        try:
            if encoder.fitted:
                encoder = _fitted(encoder, windows)
            subject = _Subject(encoder, device, windows)
            encoder.to(device)
            subject.rows(sounds(1, subject.usual, subject.rate, encoder.channels))
        except Exception:
            return None
        first = time.perf_counter() - started
        if first > budget / 2:
            return None
        return _speed(subject, batch_size)


def _tried(rule: str, measure: Callable[[], Finding]) -> Finding:
    try:
        return measure()
    except Exception as error:
        return Finding(rule, False, f"it {_said(error)}")


def _said(error: Exception) -> str:
    if isinstance(error, AnswerError):
        return str(error)
    return f"says: {error}" if isinstance(error, UserError) else f"raised {type(error).__name__}: {error}"


def _input_of(subject: _Subject, samples: int) -> str:
    return f"{samples / subject.rate:.4g} s"


def sounds(count: int, samples: int, rate: int, channels: int) -> np.ndarray:
    """Return ``count`` different sounds, float32 [count, channels, samples] in [-1, 1]: chords over beats and hiss."""
    time_axis = np.arange(samples) / rate
    made = np.empty((count, channels, samples), np.float32)
    for i in range(count):
        rng = np.random.default_rng([i, 7])
        fundamental, beats = 110.0 * 2 ** (i * 5 / 12), 1.5 + 0.5 * i
        chord = sum(np.sin(2 * np.pi * fundamental * partial * time_axis) / partial for partial in (1, 1.25, 1.5, 2, 3))
        pulse = np.exp(-6 * ((time_axis * beats) % 1))
        for channel in range(channels):
            hiss = rng.normal(size=samples)
            made[i, channel] = np.clip((0.12 + 0.02 * channel) * chord * pulse + 0.03 * (1 + i) * hiss, -1, 1)
    return made


def silence(samples: int) -> np.ndarray:
    """Return ``samples`` zeros."""
    return np.zeros(samples, np.float32)


def noise(samples: int) -> np.ndarray:
    """Return noise of which every sample is -1 or 1: nothing in range is louder."""
    return np.random.default_rng(11).choice(np.array([-1, 1], np.float32), samples)


def clicks(samples: int) -> np.ndarray:
    """Return full-scale clicks of one sample, about 20 in all, in digital silence."""
    made = np.zeros(samples, np.float32)
    made[:: max(1, samples // 20)] = 1.0
    return made
