"""TorchScript files as encoders, and what any model file is tried for."""

import pickle
import warnings
import zipfile

import pytest

torch = pytest.importorskip("torch")

from benchmark.embeddings.space import check_declarations, space_of  # noqa: E402
from benchmark.encoders.packaged.torchscript import open_torchscript  # noqa: E402
from benchmark.encoders.spec import parse  # noqa: E402
from benchmark.errors import UserError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Flat(torch.nn.Module):
    """[B, N] -> [B, 3]."""

    def __init__(self):
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 2
        return self.dropout(torch.stack([x.mean(1), x.std(1), x.abs().amax(1)], dim=1))


class Framed(torch.nn.Module):
    """[B, 1, N] -> [B, T, 4]."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv1d(1, 4, 400, stride=200)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).transpose(1, 2)


class FramesLast(Framed):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Either(torch.nn.Module):
    """Answers both layouts, differently."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 3:
            return torch.stack([x.mean((1, 2)), x.std((1, 2))], dim=1)
        return torch.stack([x.amax(1), x.amin(1)], dim=1)


class Wide(torch.nn.Module):
    """Takes more than a second."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 4, 9000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Mixing(torch.nn.Module):
    """Looks at the whole batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.mean(1) - x.mean() + 1, x.abs().mean(1)], dim=1)


class Single(torch.nn.Module):
    """Forgets the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.mean(), x.std()]).view(1, 2)


class Stereo(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2].mean(2) + x[:, 1:2].std(2)


class Several(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.mean(1, keepdim=True), x


class Counted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x > 0).long().sum(1, keepdim=True)


@pytest.fixture
def saved(tmp_path):
    def save(model, name="a model.pt"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(model).save(str(tmp_path / name))
        return tmp_path / name

    return save


def opened(file, query="?sample_rate=8000&window=1"):
    return open_torchscript(parse(f"torchscript:{file}{query}&trust=1"), None)


def noise(encoder, seconds=1.0):
    generator = torch.Generator().manual_seed(0)
    return 0.3 * torch.randn(4, encoder.channels, round(seconds * encoder.sample_rate), generator=generator)


@pytest.mark.parametrize(("model", "layout", "dim"), [(Flat, "bn", 3), (Framed, "bcn", 4)])
def test_the_layout_and_the_width_are_found(saved, model, layout, dim):
    encoder = opened(saved(model()))
    check_declarations(encoder)
    assert (encoder.name, encoder.layout, encoder.dim) == (
        "torchscript:a model.pt?sample_rate=8000&window=1", layout, dim,
    )  # fmt: skip
    encoder.to("cpu")
    waveforms = noise(encoder)
    found = encoder.embed(waveforms)
    assert (found.shape[0], found.shape[-1]) == (4, dim)
    assert not found.requires_grad
    assert torch.equal(found, encoder.embed(waveforms))  # dropout is off
    torch.testing.assert_close(torch.cat([encoder.embed(each[None]) for each in waveforms]), found)
    space_of(encoder, None, None)


def test_a_model_of_one_window_is_called_one_by_one(saved):
    encoder = opened(saved(Single()))
    waveforms = noise(encoder)
    assert encoder.one_by_one
    torch.testing.assert_close(
        encoder.embed(waveforms), torch.stack([waveforms.mean((1, 2)), waveforms.std((1, 2))], dim=1)
    )


def test_stereo(saved):
    encoder = opened(saved(Stereo()), "?sample_rate=8000&window=1&channels=2")
    assert encoder.layout == "bcn"
    assert encoder.embed(noise(encoder)).shape == (4, 2)
    with pytest.raises(UserError, match="no place for channels=2"):
        opened(saved(Flat()), "?sample_rate=8000&window=1&channels=2&layout=bn")


def test_frames_on_the_last_axis_are_noticed(saved):
    file = saved(FramesLast())
    with pytest.raises(UserError, match="Say frames=last"):
        opened(file)
    encoder, framed = opened(file, "?sample_rate=8000&window=1&frames=last"), opened(saved(Framed(), "b.pt"))
    assert encoder.dim == 4
    torch.testing.assert_close(encoder.embed(noise(encoder)), framed.embed(noise(framed)))
    with pytest.raises(UserError, match="Say frames=middle"):
        opened(saved(Framed()), "?sample_rate=8000&window=1&frames=last")


def test_a_model_that_answers_two_layouts_differently_must_be_told(saved):
    file = saved(Either())
    with pytest.raises(UserError, match=r"as bn and as bcn, with different answers.*layout="):
        opened(file)
    waveforms = noise(opened(file, "?sample_rate=8000&window=1&layout=bn"))
    found = {
        layout: opened(file, f"?sample_rate=8000&window=1&layout={layout}").embed(waveforms) for layout in ("bn", "bcn")
    }
    torch.testing.assert_close(found["bn"][:, 0], waveforms.amax((1, 2)))
    torch.testing.assert_close(found["bcn"][:, 0], waveforms.mean((1, 2)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Mixing, "another embedding in a batch than alone"), (Wide, r"Kernel size: \(9000\)"),
        (Several, "not one tensor"), (Counted, "int64, not floats"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_encoders_are_refused(saved, model, message):
    with pytest.raises(UserError, match=message):
        opened(saved(model()))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?window=1", "needs sample_rate=.*every embedding would be wrong"), ("?sample_rate=8000", "needs window="),
        ("?sample_rate=fast&window=1", "give a whole number"), ("?sample_rate=0&window=1", "in Hz, from 1,000"),
        ("?sample_rate=8000&window=1&channels=3", "one of 1, 2"), ("?sample_rate=8000&window=1&layer=2", "no option"),
        ("?sample_rate=8000&window=1&layout=bnc", "layout=bnc: give bn or bcn"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_named(saved, query, message):
    with pytest.raises(UserError, match=message):
        opened(saved(Flat()), query)


def test_whole_tracks_and_shorter_ones(saved):
    encoder = opened(saved(Flat()), "?sample_rate=8000&window=track")
    assert (encoder.window_seconds, encoder.minimum_seconds) == (None, 0.0)
    encoder = opened(saved(Flat()), "?sample_rate=8000&window=3&minimum=0.5&hop=1.5")
    assert (encoder.window_seconds, encoder.hop_seconds, encoder.minimum_seconds) == (3.0, 1.5, 0.5)
    assert encoder.embed(noise(encoder, 0.5)).shape == (4, 3)


def test_the_fingerprint_is_of_the_file_and_the_options(saved, tmp_path):
    first = opened(saved(Framed()))
    moved = tmp_path / "folder"
    moved.mkdir()
    (moved / "a model.pt").write_bytes((tmp_path / "a model.pt").read_bytes())
    assert opened(moved / "a model.pt").fingerprint() == first.fingerprint()
    first.to("cpu")
    first.embed(noise(first))
    assert opened(moved / "a model.pt").fingerprint() == first.fingerprint()
    assert opened(moved / "a model.pt", "?sample_rate=16000&window=1").fingerprint() != first.fingerprint()
    other = Framed()
    torch.nn.init.ones_(other.conv.weight)
    assert opened(saved(other)).fingerprint() != first.fingerprint()


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of a pickle ran')",))


def test_checkpoints_are_refused_and_no_pickle_is_loaded(tmp_path):
    torch.save(Flat().state_dict(), tmp_path / "weights.pt")
    torch.save(Bomb(), tmp_path / "bomb.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Bomb()))
    for name in ("weights", "bomb", "pickle"):
        with pytest.raises(UserError, match=r"is a checkpoint \(a pickle\).*weights_only=True"):
            opened(tmp_path / f"{name}.pt")


def test_it_is_opened_only_where_the_user_trusts_it(saved, monkeypatch):
    file = saved(Flat())
    for query in ("?sample_rate=8000&window=1", "?sample_rate=8000&window=1&trust=0"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was opened"))
            with pytest.raises(UserError, match=r"it is code, not data: it can do whatever you can.*trust=1"):
                open_torchscript(parse(f"torchscript:{file}{query}"), None)
    assert "trust" not in opened(file).name


def test_other_files_are_refused(tmp_path):
    (tmp_path / "page.pt").write_text("<html>")
    with pytest.raises(UserError, match="is no TorchScript model"):
        opened(tmp_path / "page.pt")
    with pytest.raises(UserError, match="no TorchScript file at"):
        opened(tmp_path / "nowhere.pt")


class Scripted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("name", ["program.pt2", "program.PT2", "program.pt"])
def test_an_exported_program_is_refused(tmp_path, name):
    program = torch.export.export(Scripted().eval(), (torch.zeros(2, 80),))
    torch.export.save(program, tmp_path / "saved.pt2")
    (tmp_path / "saved.pt2").rename(tmp_path / name)
    with pytest.raises(UserError, match=r"is an exported program.*could run any code .*: export the model to ONNX"):
        opened(tmp_path / name)


def test_a_pickle_in_an_archive_with_code_runs_nothing(tmp_path, saved):
    file = saved(Flat())
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    bombed = 0
    with zipfile.ZipFile(tmp_path / "bombed.pt", "w") as archive:
        for name, data in parts.items():
            if name.endswith(".pkl"):
                bombed += 1
            archive.writestr(name, pickle.dumps(Bomb(), protocol=2) if name.endswith(".pkl") else data)
    assert bombed
    with pytest.raises(UserError, match="is no TorchScript model"):
        opened(tmp_path / "bombed.pt")
