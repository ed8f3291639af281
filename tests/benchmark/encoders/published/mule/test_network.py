"""The network of Musicset-ULarge: against its reference, against slow loops, and folded against unfolded."""

import ast
import copy
import dataclasses
import re

import numpy as np
import pytest
import torch

from benchmark.encoders.handcrafted.spectra import frame, hann, mel_filters, power_spectrum
from benchmark.encoders.published.mule.folding import fold
from benchmark.encoders.published.mule.network import (
    GELU_GAIN,
    TINY,
    ULARGE,
    Block,
    NetworkConfig,
    SlowFastNFNet,
    StandardisedConv,
    pad_same,
    same_padding,
    scaled_gelu,
)

#: Every 27th value of the tiny network's embeddings of the seeded inputs, by number of frames. Pinned, not derived.
PINNED = {
    16: [0.063446, 0.266769, 0.036152, 0.11733, 0.169749, -0.100048, 0.591987, 0.068558],
    37: [0.025133, 0.306188, -0.10606, 0.09131, 0.048266, -0.229007, -0.099186, 0.033938],
    300: [-0.018644, 0.250717, -0.112136, 0.050288, 0.099667, -0.218666, -0.115969, 0.070389],
}


def seeded(config: NetworkConfig, seed: int = 7) -> SlowFastNFNet:
    """Return a network in evaluation mode with weights that are all far from zero, from numpy's stream of ``seed``."""
    network = SlowFastNFNet(config).eval()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = rng.standard_normal(tuple(parameter.shape))
            if name.endswith("skip_gain"):
                values = np.sign(values) * (0.3 + np.abs(values))
            elif name.endswith("gain"):
                values = 1 + 0.25 * values
            elif name.endswith("bias"):
                values = 0.2 * values
            elif "gate" in name:
                values = values / np.sqrt(parameter.shape[1])
            else:
                values = 0.1 + 0.5 * values
            parameter.copy_(torch.from_numpy(np.asarray(values)))
    return network


def slices(count: int, frames: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, 96, frames)).astype(np.float32))


def log_mels(count: int) -> torch.Tensor:
    """Return standardised log-mel slices [count, 96, 300] of tones in noise, each of another pitch and level."""
    rng = np.random.default_rng(3)
    t = np.arange(48000 + 2048) / 16000
    filters = mel_filters(16000, 2048, 96, 0.0, 8000.0)
    found = []
    for i in range(count):
        pitch = 110 * 2 ** (rng.uniform(0, 36) / 12)
        tones = sum(np.sin(2 * np.pi * h * pitch * t) / h for h in range(1, 9)) * (0.6 + 0.4 * np.sin(5 * t))
        wave = 10 ** -(i / 4) * (0.1 * tones + 0.02 * rng.standard_normal(len(t)))
        power = power_spectrum(frame(wave.astype(np.float32), 2048, 160), hann(2048)) @ filters
        x = np.log10(1 + 1e4 * power[:300].T)
        found.append((x - x.mean()) / max(x.std(), 0.01))
    return torch.from_numpy(np.stack(found).astype(np.float32))


def relative_error(found: torch.Tensor, expected: torch.Tensor | np.ndarray) -> float:
    expected = torch.as_tensor(expected)
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def tiny() -> SlowFastNFNet:
    return seeded(TINY)


@pytest.fixture(scope="module")
def reference(reference_data):
    """The full network with the reference's seeded weights, the inputs from the same stream, and its outputs."""
    folder = reference_data / "golden" / "mule"
    lines = (folder / "weights.txt").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if not line.startswith("#")]
    rng = np.random.default_rng(20220)
    state: dict[str, np.ndarray] = {}
    while rows:
        _, text, _, _, role, what = rows[0]
        shape, name = ast.literal_eval(text), parameter_name(role)
        if what.startswith("kernel_raw"):
            kernel = 0.5 * rng.standard_normal(shape) + 0.1 * rng.standard_normal(shape[-1:])
            state[f"{name}.weight"] = kernel.transpose(3, 2, 0, 1)
            state[f"{name}.gain"] = 1 + 0.25 * rng.standard_normal(shape[-1:])
            state[f"{name}.bias"] = 0.2 * rng.standard_normal(shape[-1:])
            rows = rows[3:]
        elif what.startswith("kernel(in"):
            state[f"{name}.weight"] = (rng.standard_normal(shape) / np.sqrt(shape[0])).T
            state[f"{name}.bias"] = 0.3 * rng.standard_normal(shape[-1:])
            rows = rows[2:]
        else:
            state[name] = np.asarray(rng.choice([-1, 1]) * rng.uniform(0.3, 1.2))
            rows = rows[1:]
    inputs = {}
    for key, count, frames in (("300", 4, 300), ("100", 2, 100), ("400", 2, 400), ("299", 1, 299), ("17", 1, 17)):
        drawn = rng.standard_normal((count, 96, frames, 1))[..., 0].astype(np.float32)
        inputs[key] = torch.from_numpy(drawn)
    with torch.device("meta"):
        network = SlowFastNFNet().eval()
    tensors = {name: torch.from_numpy(values.astype(np.float32)) for name, values in state.items()}
    network.load_state_dict(tensors, assign=True)
    return network, inputs, np.load(folder / "io.npz")


@pytest.fixture(scope="module")
def folded_reference(reference):
    return fold(reference[0])


def parameter_name(role: str) -> str:
    """Return the prefix of our parameters for a role in the reference's list of weights."""
    renamed = {"time_conv": "time", "expand_1x1": "widen", "se.fc0": "gate.squeeze", "se.fc1": "gate.excite"}
    if match := re.fullmatch(r"(slow|fast)\.stem\.conv(\d)", role):
        return f"{match[1]}_stem.convs.{match[2]}"
    if match := re.fullmatch(r"fusion(\d)\.(\w+)", role):
        return f"fusions.{match[1]}.{renamed[match[2]]}"
    match = re.fullmatch(r"(slow|fast)\.stage(\d)\.block(\d)\.(.+)", role)
    assert match, role
    part = match[4].removeprefix("res.")
    part = "shortcut" if "shortcut" in part else renamed.get(part, part)
    return f"{match[1]}_stages.{match[2]}.{match[3]}.{part}"


class TestReference:
    @pytest.mark.parametrize("frames", ["300", "100", "400", "299", "17"])
    def test_embeddings(self, reference, folded_reference, frames):
        network, inputs, golden = reference
        expected = golden[f"y{frames}"]
        with torch.no_grad():
            assert relative_error(network(inputs[frames]), expected) < 1e-5
        assert relative_error(folded_reference(inputs[frames]), expected) < 1e-5

    def test_every_block(self, reference, reference_data):
        network, inputs, _ = reference
        golden = np.load(reference_data / "golden" / "mule" / "intermediates_x300_0.npz")
        places = {"slow": 0, "fast": sum(ULARGE.depths)}
        found = {}
        for path, index in places.items():
            for stage in getattr(network, f"{path}_stages"):
                for block in stage:
                    key = f"stoch_depth_{index}" if index else "stoch_depth"
                    block.register_forward_hook(lambda _, __, output, key=key: found.update({key: output}))
                    index += 1
        with torch.no_grad():
            network(inputs["300"][:1])
        compared = 0
        for name in golden:
            key = re.sub(r"^t_\d+_", "", name)
            if key in found:
                assert relative_error(found[key], golden[name].transpose(0, 3, 1, 2)) < 1e-5, name
                compared += 1
        assert compared == 24

    def test_bfloat16(self, folded_reference):
        x = log_mels(4)
        expected = folded_reference(x)
        found = copy.deepcopy(folded_reference).to(torch.bfloat16)(x)
        assert found.dtype == torch.float32
        assert torch.cosine_similarity(found, expected).min() > 0.999


class TestTiny:
    def test_pinned_values(self, tiny):
        for frames, expected in PINNED.items():
            with torch.no_grad():
                found = tiny(slices(1, frames))
            assert found.shape == (1, 216)
            np.testing.assert_allclose(found[0, ::27].numpy(), expected, rtol=2e-5, atol=5e-6)

    @pytest.mark.parametrize("frames", [16, 17, 31, 32, 33, 63, 100, 299, 300, 400])
    def test_folded_equals_unfolded(self, tiny, frames):
        x = slices(2, frames)
        with torch.no_grad():
            expected = tiny(x)
        found = fold(tiny)(x)
        assert found.dtype == torch.float32
        assert relative_error(found, expected) < 2e-6

    @pytest.mark.parametrize("folded", [False, True])
    def test_a_row_does_not_depend_on_its_batch(self, tiny, folded):
        network = fold(tiny) if folded else tiny
        x = slices(8, 120)
        with torch.no_grad():
            together, alone = network(x), torch.cat([network(row[None]) for row in x])
        assert relative_error(together, alone) < 1e-5

    @pytest.mark.parametrize("folded", [False, True])
    def test_takes_slices_with_and_without_a_channel_and_leaves_them(self, tiny, folded):
        network = fold(tiny) if folded else tiny
        x = slices(3, 50)
        kept = x.clone()
        with torch.no_grad():
            assert torch.equal(network(x), network(x[:, None]))
        assert torch.equal(x, kept)

    def test_takes_slices_that_are_not_contiguous(self, tiny):
        x = slices(2, 64)
        strided = x.transpose(1, 2).contiguous().transpose(1, 2)
        assert relative_error(fold(tiny)(strided), fold(tiny)(x)) < 1e-6

    @pytest.mark.parametrize("shape", [(1, 96, 15), (1, 64, 300), (1, 2, 96, 300), (96, 300)])
    def test_refuses_other_shapes(self, tiny, shape):
        for network in (tiny, fold(tiny)):
            with pytest.raises(ValueError, match=r"expected \[B, 96, T\]"):
                network(torch.zeros(shape))

    def test_folding_leaves_the_network_and_its_training_mode(self, tiny):
        network = seeded(TINY).train()
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        folded = fold(network)
        assert network.training
        assert not folded.training
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
        assert torch.equal(folded(slices(2, 40)), fold(tiny)(slices(2, 40)))

    def test_a_skip_gain_of_zero_folds(self):
        network = SlowFastNFNet(TINY).eval()
        with torch.no_grad():
            assert relative_error(fold(network)(slices(2, 80)), network(slices(2, 80))) < 2e-6

    def test_folded_in_bfloat16(self, tiny):
        x = log_mels(3)
        found = fold(tiny).to(torch.bfloat16)(x)
        assert found.dtype == torch.float32
        assert torch.cosine_similarity(found, fold(tiny)(x)).min() > 0.999

    def test_embeddings_are_above_the_least_value_of_the_activation(self, tiny):
        x = torch.linspace(-3, 3, 10001)
        assert scaled_gelu(x).min() == pytest.approx(-0.289207, abs=1e-6)
        assert fold(tiny)(slices(4, 100)).min() >= -0.28921


class TestConfig:
    def test_size_of_the_published_network(self):
        with torch.device("meta"):
            parameters = list(SlowFastNFNet(ULARGE).parameters())
        assert sum(p.numel() for p in parameters) == 62_345_742
        assert len(parameters) == 480
        assert ULARGE.dim == 1728
        assert ULARGE.slow_inputs == (256, 512, 1024, 4608)

    def test_size_of_the_tiny_network(self, tiny):
        assert sum(p.numel() for p in tiny.parameters()) == 403_488
        assert TINY.dim == 216

    def test_constants(self):
        assert ULARGE.beta(0, 0) == 1
        for stage in (1, 2, 3):
            assert ULARGE.beta(stage, 0) == pytest.approx(0.98058068)
        expected = [0.96225045, 0.94491118, 0.92847669, 0.91287093, 0.89802651]
        assert [ULARGE.beta(2, block) for block in range(1, 6)] == pytest.approx(expected)
        places = [(stage, block) for stage, depth in enumerate(ULARGE.depths) for block in range(depth)]
        assert [ULARGE.survival(*place) for place in places] == pytest.approx([1 - 0.1 * i / 12 for i in range(12)])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"mels": 80}, "multiple of 32"),
            ({"slow_widths": (256, 512, 1500, 1536)}, "1500"),
            ({"fast_group": 64}, "groups of 64"),
            ({"drop_rate": 1.0}, "drop_rate"),
        ],
    )
    def test_refuses_what_cannot_be_built(self, change, message):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(ULARGE, **change)


class TestPadding:
    @pytest.mark.parametrize("kernel", [1, 3, 7])
    @pytest.mark.parametrize("stride", [1, 2, 4, 8])
    def test_against_a_slow_loop(self, kernel, stride):
        for length in range(1, 34):
            total = 0
            while (length + total - kernel) // stride + 1 < -(-length // stride) or length + total < kernel:
                total += 1
            assert same_padding(length, kernel, stride) == (total // 2, total - total // 2)

    @pytest.mark.parametrize(("kernel", "stride"), [((3, 3), (2, 2)), ((3, 1), (2, 8)), ((1, 7), (1, 4))])
    @pytest.mark.parametrize("size", [(6, 16), (7, 17), (5, 25)])
    def test_convolution_against_a_slow_loop(self, kernel, stride, size):
        rng = np.random.default_rng(5)
        x, w = rng.standard_normal((2, *size)), rng.standard_normal((3, 2, *kernel))
        before = [max((-(-n // s) - 1) * s + k - n, 0) // 2 for n, k, s in zip(size, kernel, stride, strict=True)]
        out = np.zeros((3, -(-size[0] // stride[0]), -(-size[1] // stride[1])))
        for o, i, j in np.ndindex(out.shape):
            for c, a, b in np.ndindex(w.shape[1:]):
                f, t = i * stride[0] + a - before[0], j * stride[1] + b - before[1]
                if 0 <= f < size[0] and 0 <= t < size[1]:
                    out[o, i, j] += w[o, c, a, b] * x[c, f, t]
        padded, padding = pad_same(torch.from_numpy(x)[None], kernel, stride)
        found = torch.nn.functional.conv2d(padded, torch.from_numpy(w), None, stride, padding)
        np.testing.assert_allclose(found[0].numpy(), out, rtol=1e-12, atol=1e-12)


class TestTraining:
    def test_initial_values(self):
        torch.manual_seed(0)
        block = Block(256, 256, group=64, beta=1.0, alpha=0.2, survival=0.5, first=True, stride=1)
        assert block.conv0.weight.std().item() == pytest.approx(1 / 16, rel=0.03)
        assert block.conv1.weight.std().item() == pytest.approx(1 / np.sqrt(3 * 64), rel=0.03)
        assert block.gate.squeeze.weight.abs().max().item() == pytest.approx(np.sqrt(6 / 384), rel=0.01)
        for name, parameter in block.named_parameters():
            if name.endswith("bias") or name == "skip_gain":
                assert (parameter == 0).all(), name
            elif name.endswith("gain"):
                assert (parameter == 1).all(), name

    def test_standardised_kernels(self):
        conv = StandardisedConv(12, 4, (1, 3), groups=2)
        with torch.no_grad():
            conv.weight.mul_(3).add_(0.7)
            conv.gain.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
        kernel = conv.standardised()
        np.testing.assert_allclose(kernel.mean((1, 2, 3)).detach(), 0, atol=1e-6)
        norms = kernel.square().sum((1, 2, 3)).detach()
        np.testing.assert_allclose(norms, conv.gain.detach().square(), rtol=1e-4)

    def test_a_constant_kernel_stays_finite(self):
        conv = StandardisedConv(4, 2, (3, 3))
        with torch.no_grad():
            conv.weight.fill_(0.3)
        conv.standardised().sum().backward()
        assert (conv.standardised() == 0).all()
        assert torch.isfinite(conv.weight.grad).all()

    def test_variance_is_kept_at_the_start(self):
        torch.manual_seed(0)
        x = torch.randn(200_000)
        assert float(scaled_gelu(x).var()) == pytest.approx(1, abs=0.02)
        assert pytest.approx(1.7015043497085571) == GELU_GAIN

    def test_stochastic_depth_keeps_samples_at_its_rate(self):
        torch.manual_seed(0)
        block = Block(8, 8, group=4, beta=1.0, alpha=0.2, survival=0.7, first=False, stride=1)
        with torch.no_grad():
            block.skip_gain.fill_(1.0)
            x = torch.randn(1, 8, 4, 5).expand(4000, -1, -1, -1)
            whole = block.eval()(x)
            drawn = block.train()(x)
        kept = (drawn - whole).abs().amax((1, 2, 3)) < 1e-6
        dropped = (drawn - x).abs().amax((1, 2, 3)) == 0
        assert (kept ^ dropped).all()  # all of a sample's residual, unscaled, or none of it
        assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.03)

    def test_stochastic_depth_only_while_training(self, tiny):
        network = seeded(TINY)
        x = slices(16, 32)
        with torch.no_grad():
            assert torch.equal(network(x), network(x))
            network.train()
            torch.manual_seed(1)
            assert not torch.equal(network(x), network(x))

    def test_every_parameter_learns(self):
        torch.manual_seed(0)
        network = seeded(dataclasses.replace(TINY, drop_rate=0.0)).train()
        network(slices(3, 48)).square().mean().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name

    def test_skip_gains_leave_zero_first(self):
        network = SlowFastNFNet(TINY).train()
        network(slices(3, 48)).square().mean().backward()
        gains = [parameter for name, parameter in network.named_parameters() if name.endswith("skip_gain")]
        assert all(gain.grad is not None and gain.grad.abs() > 0 for gain in gains)
        assert (network.slow_stages[0][0].conv0.weight.grad == 0).all()
