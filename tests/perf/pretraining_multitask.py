"""Seconds of a step of multi-task pre-training, against a plain PyTorch loop of the same arithmetic.

    python tests/perf/pretraining_multitask.py [--batch 16] [--frames 200] [--steps 9] [--threads 2] [--device cpu]
                                                [--weighting equal]

The plain loop is what one would write for one machine and one purpose: targets of all six workers from the waveform,
running z-normalisation, the encoder, heads of 1x1 convolutions, the plain sum of losses (or GradNorm), Adam.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.trainer import Trainer

RATE, HOP = 16_000, 160
CHANNELS, WIDTHS = (16, 16, 32, 32, 64, 64, 64), (251, 11, 11, 11, 11, 11, 11)
STRIDES, DIM, CONTEXT, HIDDEN = (10, 2, 1, 2, 1, 2, 2), 64, 65, 256
OUTPUTS = {"waveform": 160, "log-mel": 96, "mfcc": 20, "chroma": 12, "tempogram": 32, "prosody": 4}
SHORT, LONG, POINTS, TEMPO, LAGS = 1024, 2048, 2048, 256, (16, 128)


class PlainEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = 1
        for channels, width, stride in zip(CHANNELS, WIDTHS, STRIDES, strict=True):
            convolution = nn.Conv1d(before, channels, width, stride, padding=width // 2, bias=False)
            blocks += [convolution, nn.BatchNorm1d(channels), nn.PReLU(channels)]
            before = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Conv1d(before, DIM, 1, bias=False)
        self.context = nn.Conv1d(DIM, DIM, CONTEXT, padding=CONTEXT // 2, groups=DIM)
        self.norm = nn.BatchNorm1d(DIM)

    def forward(self, waveforms: Tensor) -> Tensor:
        found = self.blocks(waveforms[:, None])
        return self.norm(self.last(found + self.context(found)))


def head(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(DIM, HIDDEN, 1), nn.PReLU(HIDDEN), nn.Conv1d(HIDDEN, outputs, 1))


def mel_filters(bands: int, points: int) -> Tensor:
    """Return triangular filters [bands, points // 2 + 1], 30 Hz to 8 kHz, of the HTK scale."""
    mels = torch.linspace(2595 * np.log10(1 + 30 / 700), 2595 * np.log10(1 + 8000 / 700), bands + 2).double()
    corners = 700 * (10 ** (mels / 2595) - 1)
    hz = torch.arange(points // 2 + 1).double() * RATE / points
    rising = (hz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - hz) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0).float()


class PlainTargets:
    def __init__(self, device: str) -> None:
        self.windows = {n: (torch.hann_window(n) * (2 / torch.hann_window(n).sum())).to(device) for n in (SHORT, LONG)}
        self.mels = {bands: mel_filters(bands, POINTS).to(device) for bands in (96, 64)}
        angle = torch.pi / 64 * (torch.arange(64) + 0.5)[:, None] * torch.arange(20)
        self.cosines = (np.sqrt(2 / 64) * torch.cos(angle)).T.contiguous().to(device)
        pitch = 12 * torch.log2(torch.arange(1, POINTS // 2 + 1) * RATE / POINTS / 440) + 69
        near = 1 - (pitch - torch.arange(132)[:, None]).abs()
        wanted = (torch.arange(132) >= 36) & (torch.arange(132) < 108)
        folded = torch.zeros(12, POINTS // 2 + 1)
        folded[:, 1:].index_add_(0, torch.arange(132) % 12, near.clamp_min(0) * wanted[:, None])
        self.folded = folded.to(device)
        self.tempo_window = torch.hann_window(TEMPO).to(device)
        centres = torch.logspace(np.log10(LAGS[0]), np.log10(LAGS[1]), 34)
        lag = torch.arange(TEMPO).float()
        left = (lag - centres[:-2, None]) / (centres[1:-1] - centres[:-2])[:, None]
        right = (centres[2:, None] - lag) / (centres[2:] - centres[1:-1])[:, None]
        triangles = torch.minimum(left, right).clamp_min(0)
        self.lags = (triangles / triangles.sum(1, keepdim=True).clamp_min(1e-9)).to(device)
        self.octaves = torch.log2(torch.arange(16, 268)).to(device)
        self.of_window = self.correlation(self.windows[SHORT].square())

    @staticmethod
    def correlation(power_of: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(power_of.sqrt(), n=POINTS)
        return torch.fft.irfft(spectrum.abs().square(), n=POINTS)[: POINTS // 2]

    def power(self, waveforms: Tensor, window: int) -> Tensor:
        found = torch.stft(
            waveforms, POINTS, HOP, window, self.windows[window], center=True, pad_mode="reflect", return_complex=True
        )[..., :-1]
        return found.real.square() + found.imag.square()

    @torch.no_grad()
    def __call__(self, waveforms: Tensor) -> dict[str, Tensor]:
        count = waveforms.shape[1] // HOP
        short, long = self.power(waveforms, SHORT), self.power(waveforms, LONG)
        log_mel = torch.log10(self.mels[96] @ short + 1e-10)
        mfcc = self.cosines @ torch.log10(self.mels[64] @ short + 1e-10)
        chroma = self.folded @ long.sqrt()
        chroma = chroma / chroma.amax(1, keepdim=True).clamp_min(1e-5)
        onsets = functional.pad(log_mel.diff(dim=2).clamp_min(0).mean(1), (1, 0))
        padded = functional.pad(onsets, (TEMPO // 2, TEMPO // 2 - 1)).unfold(1, TEMPO, 1) * self.tempo_window
        lagged = torch.fft.irfft(torch.fft.rfft(padded, n=2 * TEMPO).abs().square(), n=2 * TEMPO)[..., :TEMPO]
        tempogram = (lagged / lagged[..., :1].clamp_min(1e-9)) @ self.lags.T
        lagged = torch.fft.irfft(short.transpose(1, 2), n=POINTS)[..., : POINTS // 2]
        near = lagged[..., 15:269] / (lagged[..., :1].clamp_min(1e-12) * self.of_window[15:269] / self.of_window[0])
        middle = near[..., 1:-1]
        peaks = (middle > near[..., :-2]) & (middle >= near[..., 2:])
        lag = torch.where(peaks, middle - 0.03 * self.octaves, -torch.inf).argmax(-1, keepdim=True)
        left, at, right = (near.gather(-1, lag + step)[..., 0] for step in (0, 1, 2))
        shift = (0.5 * (left - right) / (left - 2 * at + right).clamp_max(-1e-6)).clamp(-0.5, 0.5)
        voiced = torch.where(peaks.any(-1), (at - 0.25 * (left - right) * shift).clamp(0, 1), 0.0)
        pitch = torch.where(voiced >= 0.5, torch.log2(RATE / 245 / (16 + lag[..., 0] + shift)), 0)
        mirrored = functional.pad(waveforms[:, None], (SHORT // 2, SHORT // 2), mode="reflect")
        rms = functional.avg_pool1d(mirrored.square(), SHORT, HOP)[:, 0, :count].sqrt()
        crossings = functional.pad((mirrored[..., 1:] >= 0) != (mirrored[..., :-1] >= 0), (1, 0)).float()
        rate = functional.avg_pool1d(crossings, SHORT, HOP)[:, 0, :count]
        return {
            "waveform": waveforms.unflatten(1, (count, HOP)).transpose(1, 2),
            "log-mel": log_mel, "mfcc": mfcc, "chroma": chroma, "tempogram": tempogram.transpose(1, 2),
            "prosody": torch.stack([pitch, voiced, rms, rate], dim=1),
        }  # fmt: skip


class PlainLoop:
    """Everything that a step needs, and the step."""

    def __init__(self, device: str, gradnorm: bool) -> None:
        torch.manual_seed(0)
        self.weights = torch.ones(len(OUTPUTS), device=device) if gradnorm else None
        self.first: Tensor | None = None
        self.encoder = PlainEncoder().to(device)
        self.heads = nn.ModuleDict({name: head(outputs) for name, outputs in OUTPUTS.items()}).to(device)
        parameters = [*self.encoder.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=5e-4)
        self.parameters, self.targets = parameters, PlainTargets(device)
        self.sums: dict[str, Tensor] = {}
        self.device = device

    def normalised(self, name: str, target: Tensor) -> Tensor:
        exact = target.double()
        count = torch.full_like(exact[0, :, 0], target.shape[0] * target.shape[2])
        found = torch.stack([count, exact.sum((0, 2)), exact.square().sum((0, 2))])
        self.sums[name] = found + self.sums.get(name, 0)
        count, total, squares = self.sums[name]
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        return (target - mean[:, None].float()) / deviation[:, None].clamp_min(1e-8).float()

    def move_weights(self, norms: Tensor, losses: Tensor) -> None:
        """Take a step of GradNorm."""
        self.first = losses if self.first is None else self.first
        rates, weighted = losses / self.first, self.weights * norms
        wanted = weighted.mean() * rates / rates.mean()
        self.weights = (self.weights - 0.025 * (weighted - wanted).sign() * norms / norms.mean()).clamp_min(1e-3)
        self.weights = self.weights * (len(norms) / self.weights.sum())

    def step(self, waveforms: np.ndarray) -> float:
        inputs = torch.from_numpy(waveforms).to(self.device)
        targets = self.targets(inputs)
        frames = self.encoder(inputs)
        losses = []
        for name, target in targets.items():
            loss_of = functional.l1_loss if name == "waveform" else functional.mse_loss
            losses.append(loss_of(self.heads[name](frames), self.normalised(name, target)))
        if self.weights is None:
            total = torch.stack(losses).sum()
        else:
            last = self.encoder.last.weight
            norms = torch.stack([torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in losses])
            total = (self.weights * torch.stack(losses)).sum()
            self.move_weights(norms, torch.stack(losses).detach())
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(total.detach())


def music(batch: int, frames: int, step: int) -> np.ndarray:
    """Return float32 [batch, 160 * frames]: chords of decaying tones over noise."""
    rng = np.random.default_rng([7, step])
    times = np.arange(HOP * frames) / RATE
    hz = 110 * 2 ** (rng.integers(0, 36, (batch, 3, 1)) / 12)
    tones = np.sin(2 * np.pi * hz * times).mean(1) * np.exp(-3 * (times * rng.uniform(1, 3, (batch, 1)) % 1))
    return (0.3 * tones + 0.01 * rng.standard_normal((batch, len(times)))).astype(np.float32)


def strategy_step(
    batch: int, frames: int, device: str, weighting: str
) -> tuple[Callable[[int, np.ndarray], float], int]:
    """Return a step of the strategy with the sizes of the plain loop, and the parameters of its encoder."""
    changes = [f"batch={batch}", f"frames={frames}", f"worker_width={HIDDEN}", f"weighting={weighting}"]
    recipe = recipes.load("tiny-multitask", changes)
    trainer = Trainer(recipe, make_fabric(recipe, device))

    def step(number: int, waveforms: np.ndarray) -> float:
        found = trainer.gradients(Batch(number, np.arange(batch), None, None, None, waveforms=(waveforms,)))
        trainer.update(number)
        return found.loss * len(OUTPUTS)

    return step, sum(parameter.numel() for parameter in trainer.network.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weighting", default="equal", help="the plain loop knows equal and gradnorm")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plain = PlainLoop(given.device, given.weighting == "gradnorm")
    step_of, parameters = strategy_step(given.batch, given.frames, given.device, given.weighting)
    assert parameters == sum(parameter.numel() for parameter in plain.encoder.parameters())
    clock = time.process_time if given.device == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {"plain": [], "strategy": []}
    losses = {"plain": 0.0, "strategy": 0.0}
    for number in range(given.steps + 1):
        waveforms = music(given.batch, given.frames, number)
        for name in seconds if number % 2 else reversed(seconds):
            started = clock()
            losses[name] = plain.step(waveforms) if name == "plain" else step_of(number, waveforms)
            if number:  # the first one allocates
                seconds[name].append(clock() - started)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{given.batch} crops of {given.frames} frames, encoder of {parameters:,} parameters, {given.device}")
    for name, median in medians.items():
        print(f"  {name:<9} {median:.3f} s a step (best {min(seconds[name]):.3f}), sum of losses {losses[name]:.3f}")
    print(f"  strategy / plain loop: {medians['strategy'] / medians['plain']:.2f}")


if __name__ == "__main__":
    main()
