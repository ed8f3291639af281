"""Hugging Face models as encoders: tiny random models of every family, saved to a folder and opened by its path."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported, which reads it once

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")

from benchmark.embeddings.space import check_declarations, space_of  # noqa: E402
from benchmark.encoders.base import WeightsFound  # noqa: E402
from benchmark.encoders.check.check import check  # noqa: E402
from benchmark.encoders.packaged import huggingface, huggingface_encoder  # noqa: E402
from benchmark.encoders.packaged.huggingface import open_huggingface  # noqa: E402
from benchmark.encoders.spec import parse  # noqa: E402
from benchmark.errors import UserError  # noqa: E402

WIDTH, LAYERS = 16, 3
STACK = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip
WAVE = STACK | {
    "conv_dim": (8, 8, 8), "conv_kernel": (10, 8, 8), "conv_stride": (5, 8, 8), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 3,
}  # fmt: skip


def wave(config, model, **changes):
    def save(folder, normalize=True):
        made = getattr(transformers, config)(**{**WAVE, **changes})
        getattr(transformers, model)(made).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize).save_pretrained(folder)

    return save


def bert(folder):
    config = transformers.Wav2Vec2BertConfig(**STACK, feature_projection_input_dim=160, conv_depthwise_kernel_size=3)
    transformers.Wav2Vec2BertModel(config).save_pretrained(folder)
    transformers.SeamlessM4TFeatureExtractor().save_pretrained(folder)


def ast(folder):
    config = transformers.ASTConfig(**STACK, max_length=128, num_mel_bins=32)
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(max_length=128, num_mel_bins=32).save_pretrained(folder)


def whisper(folder):
    config = transformers.WhisperConfig(
        d_model=WIDTH, encoder_layers=LAYERS, encoder_attention_heads=2, encoder_ffn_dim=16, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=16, vocab_size=32, num_mel_bins=16, max_source_positions=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2, dither=0.1).save_pretrained(folder)


def clap(fusion):
    def save(folder):
        config = transformers.ClapAudioConfig(
            depths=[1, 1], num_attention_heads=[1, 1], patch_embeds_hidden_size=8, hidden_size=WIDTH, window_size=4,
            projection_dim=WIDTH, num_hidden_layers=2, enable_fusion=fusion, spec_size=64, num_mel_bins=16,
            fusion_num_hidden_layers=1, aff_block_r=2,
        )  # fmt: skip
        text = transformers.ClapTextConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=32,
            projection_dim=WIDTH,
        )  # fmt: skip
        both = transformers.ClapConfig(text_config=text.to_dict(), audio_config=config.to_dict(), projection_dim=WIDTH)
        transformers.ClapModel(both).save_pretrained(folder)
        transformers.ClapFeatureExtractor(
            feature_size=16, truncation="fusion" if fusion else "rand_trunc", max_length_s=2
        ).save_pretrained(folder)

    return save


ENCODEC = {
    "num_filters": 4, "hidden_size": WIDTH, "codebook_size": 16, "codebook_dim": WIDTH, "num_lstm_layers": 1,
    "upsampling_ratios": [8, 4],
}  # fmt: skip


def encodec(folder):
    transformers.EncodecModel(transformers.EncodecConfig(**ENCODEC)).save_pretrained(folder)
    transformers.EncodecFeatureExtractor().save_pretrained(folder)


def encodec_48k(folder):
    config = transformers.EncodecConfig(
        **ENCODEC, sampling_rate=48000, audio_channels=2, chunk_length_s=0.2, overlap=0.01, normalize=True,
        norm_type="time_group_norm", use_causal_conv=False,
    )  # fmt: skip
    transformers.EncodecModel(config).save_pretrained(folder)
    transformers.EncodecFeatureExtractor(
        feature_size=2, sampling_rate=48000, chunk_length_s=0.2, overlap=0.01
    ).save_pretrained(folder)


def dac(folder):
    config = transformers.DacConfig(
        encoder_hidden_size=4, downsampling_ratios=[8, 4], decoder_hidden_size=16, n_codebooks=2, codebook_size=16,
        codebook_dim=4, sampling_rate=44100,
    )  # fmt: skip
    transformers.DacModel(config).save_pretrained(folder)
    transformers.DacFeatureExtractor(sampling_rate=44100, hop_length=32).save_pretrained(folder)


def musicgen(folder):
    text = transformers.T5Config(vocab_size=32, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, num_codebooks=2,
        pad_token_id=0, bos_token_id=0,
    )  # fmt: skip
    config = transformers.MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=transformers.EncodecConfig(**ENCODEC).to_dict(),
        decoder=decoder.to_dict(),
    )  # fmt: skip
    transformers.MusicgenForConditionalGeneration(config).save_pretrained(folder)
    transformers.EncodecFeatureExtractor().save_pretrained(folder)


#: What saves a family's model, and whether it has layers.
MODELS = {
    "wav2vec2": (wave("Wav2Vec2Config", "Wav2Vec2ForCTC", vocab_size=8, pad_token_id=0), True),
    "wav2vec2-stable": (
        wave("Wav2Vec2Config", "Wav2Vec2Model", do_stable_layer_norm=True, feat_extract_norm="layer"), True,
    ),
    "hubert": (wave("HubertConfig", "HubertModel"), True),
    "wavlm": (wave("WavLMConfig", "WavLMModel"), True),
    "data2vec": (wave("Data2VecAudioConfig", "Data2VecAudioModel", conv_pos_kernel_size=3), True),
    "conformer": (wave("Wav2Vec2ConformerConfig", "Wav2Vec2ConformerModel", conv_depthwise_kernel_size=3), True),
    "unispeech-sat": (wave("UniSpeechSatConfig", "UniSpeechSatModel"), True),
    "wav2vec2-bert": (bert, True),
    "ast": (ast, True),
    "whisper": (whisper, True),
    "clap": (clap(fusion=False), False),
    "clap-fused": (clap(fusion=True), False),
    "encodec": (encodec, False),
    "encodec-48k": (encodec_48k, False),
    "dac": (dac, False),
    "musicgen": (musicgen, False),
}  # fmt: skip
WITH_LAYERS = [name for name, (_, layers) in MODELS.items() if layers]
WITHOUT = [name for name, (_, layers) in MODELS.items() if not layers]


@pytest.fixture(scope="module", autouse=True)
def modules_cache(tmp_path_factory):
    """Keep the copies that transformers makes of remote code out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("remote-code")))
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the folder of a family's model, made at its first use."""
    made = {}

    def folder(name):
        if name not in made:
            torch.manual_seed(0)
            made[name] = tmp_path_factory.mktemp("models") / name
            MODELS[name][0](made[name])
        return made[name]

    return folder


def opened(folder, query="", **arguments):
    return open_huggingface(parse(f"hf:{folder}{query}", arguments), None)


def noise(encoder, batch=4, seconds=None, seed=0):
    seconds = seconds or min(encoder.window_seconds or 1.0, 1.0)
    samples = round(seconds * encoder.sample_rate)
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(batch, encoder.channels, samples, generator=generator)


@pytest.mark.parametrize("name", MODELS)
class TestContract:
    def test_embeds_one_by_one_as_in_a_batch_and_twice_the_same(self, saved, name):
        encoder = opened(saved(name))
        check_declarations(encoder)
        waveforms = noise(encoder)
        together = encoder.embed(waveforms)
        assert together.shape == (4, encoder.dim) == (4, WIDTH)
        assert together.dtype == torch.float32
        assert not together.requires_grad
        assert torch.equal(together, encoder.embed(waveforms))
        alone = torch.cat([encoder.embed(window[None]) for window in waveforms])
        torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
        assert (together[0] - together[1]).abs().max() > 1e-6

    def test_silence_the_shortest_and_the_longest_input_are_finite(self, saved, name):
        encoder = opened(saved(name))
        shortest, longest = encoder.minimum_seconds, encoder.maximum_seconds or 3.0
        for seconds in (shortest, longest):
            waveforms = noise(encoder, 2, seconds)
            waveforms[0] = 0
            assert torch.isfinite(encoder.embed(waveforms)).all()

    def test_the_fingerprint_is_of_the_content_and_not_of_the_place(self, saved, name, tmp_path):
        first = opened(saved(name))
        moved = tmp_path / name
        shutil.copytree(saved(name), moved)
        assert opened(moved).fingerprint() == first.fingerprint()
        assert str(tmp_path) not in opened(moved).name
        first.to("cpu")
        first.embed(noise(first))
        assert first.fingerprint() == opened(moved).fingerprint()
        space_of(first, None, None)


@pytest.mark.parametrize("name", WITH_LAYERS)
class TestLayers:
    def test_all_layers_are_counted_and_each_is_the_one_of_its_number(self, saved, name):
        every = opened(saved(name), "?layer=all")
        waveforms = noise(every)
        found = every.embed(waveforms)
        assert every.layers == ("0", "1", "2", "3")
        assert found.shape == (4, LAYERS + 1, WIDTH)
        for number in range(LAYERS + 1):
            assert torch.equal(opened(saved(name), f"?layer={number}").embed(waveforms), found[:, number])
        assert torch.equal(opened(saved(name)).embed(waveforms), found[:, -1])
        assert len({opened(saved(name), f"?layer={layer}").fingerprint() for layer in ("0", "3", "all")}) == 3

    def test_hooks_hear_what_the_native_class_returns(self, saved, name):
        encoder = opened(saved(name), "?layer=all")
        waveforms = noise(encoder, 2)
        inputs, audible = encoder.inputs(waveforms), encoder.audible(waveforms.shape[-1])
        named = {"input_values": inputs["waveforms"]} if "waveforms" in inputs else inputs
        with torch.no_grad():
            native = encoder._model(**named, output_hidden_states=True)
        assert len(native.hidden_states) == LAYERS + 1
        layers = [*native.hidden_states[:-1], native.last_hidden_state]
        expected = torch.stack([encoder.heard(hidden, audible).mean(1) for hidden in layers], dim=1)
        torch.testing.assert_close(encoder.embed(waveforms), expected, rtol=1e-5, atol=1e-6)

    def test_a_layer_that_is_not_there_is_refused(self, saved, name):
        with pytest.raises(UserError, match=r"has no layer 4: give one from 0 .* to 3"):
            opened(saved(name), "?layer=4")


@pytest.mark.parametrize("name", WITHOUT)
def test_a_model_of_one_embedding_has_no_layers(saved, name):
    with pytest.raises(UserError, match="leave layer out"):
        opened(saved(name), "?layer=1")


class TestWaves:
    def test_windows_are_normalised_as_the_extractor_does_it(self, saved):
        encoder = opened(saved("hubert"))
        waveforms = noise(encoder, 3) + 0.2
        ours = encoder.inputs(waveforms)["waveforms"]
        theirs = encoder._extractor(list(waveforms[:, 0].numpy()), sampling_rate=16000, return_tensors="pt")
        torch.testing.assert_close(ours, theirs["input_values"], rtol=1e-4, atol=1e-5)

    def test_windows_stay_as_they_are_where_the_extractor_says_so(self, tmp_path):
        MODELS["wavlm"][0](tmp_path, normalize=False)
        encoder = opened(tmp_path)
        waveforms = noise(encoder) + 0.2
        assert torch.equal(encoder.inputs(waveforms)["waveforms"], waveforms[:, 0])

    def test_without_an_extractor_the_user_must_say_rate_and_normalisation(self, saved, tmp_path):
        folder = tmp_path / "bare"
        shutil.copytree(saved("hubert"), folder)
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(UserError, match="sample_rate="):
            opened(folder)
        with pytest.raises(UserError, match="normalize=1 or normalize=0"):
            opened(folder, "?sample_rate=16000")
        told = opened(folder, "?sample_rate=16000&normalize=1")
        waveforms = noise(told)
        assert torch.equal(told.embed(waveforms), opened(saved("hubert")).embed(waveforms))
        assert told.fingerprint() != opened(folder, "?sample_rate=16000&normalize=0").fingerprint()

    def test_what_the_repository_says_cannot_be_contradicted(self, saved):
        with pytest.raises(UserError, match="takes audio at 16000 Hz, not 24000"):
            opened(saved("hubert"), "?sample_rate=24000")
        with pytest.raises(UserError, match="leave normalize out"):
            opened(saved("hubert"), "?normalize=0")

    def test_an_adapter_is_left_out(self, tmp_path):
        wave("Wav2Vec2Config", "Wav2Vec2Model", add_adapter=True, num_adapter_layers=1, output_hidden_size=4)(tmp_path)
        encoder = opened(tmp_path)
        assert encoder.embed(noise(encoder)).shape == (4, WIDTH)


class TestPadding:
    @pytest.mark.parametrize("name", ["ast", "whisper"])
    def test_frames_of_padding_are_not_averaged(self, saved, name):
        encoder = opened(saved(name))
        waveforms = noise(encoder, 2, 0.5)
        inputs, audible = encoder.inputs(waveforms), encoder.audible(waveforms.shape[-1])
        with torch.no_grad():
            hidden = encoder._model(**inputs).last_hidden_state
        if name == "whisper":  # 0.5 s of frames of 20 ms
            expected = hidden[:, :25].mean(1)
        else:  # 48 frames of 10 ms hold audio: 4 columns of 16, 10 apart; two rows of frequency; 12 columns in all
            rows = hidden[:, 2:].reshape(2, 2, 12, WIDTH)
            expected = rows[:, :, :4].mean((1, 2))
        torch.testing.assert_close(encoder.embed(waveforms), expected)
        assert audible == (25 if name == "whisper" else 4)

    def test_longer_windows_than_the_model_takes_are_refused(self, saved):
        for name, seconds in (("ast", 1.28), ("whisper", 2.0), ("clap", 2.0)):
            encoder = opened(saved(name))
            assert encoder.window_seconds == encoder.maximum_seconds == seconds
            with pytest.raises(UserError, match="takes at most"):
                opened(saved(name), "?window=11")

    @pytest.mark.parametrize("name", ["clap", "clap-fused"])
    def test_clap_depends_on_no_random_number(self, saved, name):
        encoder = opened(saved(name))
        for seconds in (0.5, 2.0):
            waveforms = noise(encoder, 3, seconds)
            np.random.seed(1)  # noqa: NPY002 - what the extractor draws from
            first = encoder.embed(waveforms)
            np.random.seed(2)  # noqa: NPY002
            assert torch.equal(first, encoder.embed(waveforms))
        with pytest.raises(UserError, match="at random"):
            encoder.embed(noise(encoder, 1, 2.1))

    def test_whisper_is_not_dithered(self, saved):
        encoder = opened(saved("whisper"))
        waveforms = noise(encoder)
        assert torch.equal(*(encoder.inputs(waveforms)["input_features"] for _ in range(2)))


class TestCodecs:
    def test_the_embedding_is_what_is_quantised(self, saved):
        encoder = opened(saved("encodec"))
        waveforms = noise(encoder)
        with torch.no_grad():
            expected = encoder._model.encoder(waveforms).mean(2)
        torch.testing.assert_close(encoder.embed(waveforms), expected)

    def test_stereo_in_whole_pieces_of_unit_loudness(self, saved):
        encoder = opened(saved("encodec-48k"))
        assert (encoder.channels, encoder.sample_rate, encoder.minimum_seconds) == (2, 48000, 0.2)
        waveforms = noise(encoder, 2, 0.2)
        torch.testing.assert_close(encoder.embed(waveforms), encoder.embed(0.1 * waveforms), rtol=1e-3, atol=1e-4)
        longer = noise(encoder, 2, 0.5)  # pieces at 0, 9504 and 14400 of 24000, the last one ending with the window
        pieces = [encoder.embed(longer[..., start : start + 9600]) for start in (0, 9504, 14400)]
        torch.testing.assert_close(encoder.embed(longer), torch.stack(pieces).mean(0), rtol=1e-4, atol=1e-5)

    def test_musicgen_is_its_codec(self, saved, tmp_path):
        whole = transformers.MusicgenForConditionalGeneration.from_pretrained(saved("musicgen"))
        encoder = opened(saved("musicgen"))
        waveforms = noise(encoder)
        with torch.no_grad():
            expected = whole.audio_encoder.eval().encoder(waveforms).mean(2)
        torch.testing.assert_close(encoder.embed(waveforms), expected)


REMOTE = """
from transformers import HubertConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.hubert import modeling_hubert as hubert


class TinyConfig(HubertConfig):
    model_type = "tiny_music"


class TinyModel(PreTrainedModel):
    config_class = TinyConfig
    base_model_prefix = "tiny"

    def __init__(self, config):
        super().__init__(config)
        self.feature_extractor = hubert.HubertFeatureEncoder(config)
        self.feature_projection = hubert.HubertFeatureProjection(config)
        self.encoder = hubert.HubertEncoder(config)
        self.post_init()

    def forward(self, wave, output_hidden_states=True):
        print("code that came with the model prints")
        hidden = self.feature_projection(self.feature_extractor(wave).transpose(1, 2))
        out = self.encoder(hidden, output_hidden_states=output_hidden_states, return_dict=True)
        return BaseModelOutput(last_hidden_state=out[0], hidden_states=out.get("hidden_states"))
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """A model whose code comes with it, as MERT's does: an encoder of transformers inside a class of its own."""
    folder = tmp_path_factory.mktemp("remote") / "tiny-music"
    inner = transformers.HubertConfig(**WAVE)
    torch.manual_seed(0)
    body = transformers.HubertModel(inner)  # of the same parts, by the same names
    folder.mkdir()
    (folder / "modeling_tiny.py").write_text(REMOTE)
    config = {
        **json.loads(inner.to_json_string()), "model_type": "tiny_music", "architectures": ["TinyModel"],
        "auto_map": {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModel": "modeling_tiny.TinyModel"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in body.state_dict().items() if name != "masked_spec_embed"}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=24000).save_pretrained(folder)
    return folder


class TestRemoteCode:
    def test_layers_are_heard_though_the_code_returns_none(self, remote, capsys):
        encoder = opened(remote, "?remote_code=1&layer=all")
        assert (encoder.name, encoder.sample_rate) == ("hf:tiny-music?layer=all", 24000)
        waveforms = noise(encoder)
        found = encoder.embed(waveforms)
        assert found.shape == (4, LAYERS + 1, WIDTH)
        assert capsys.readouterr().out == ""
        mono, model = encoder.inputs(waveforms)["waveforms"], encoder._model
        body = transformers.HubertModel(transformers.HubertConfig(**WAVE)).eval()
        body.load_state_dict(model.state_dict(), strict=False)
        with torch.no_grad():
            assert model(mono).hidden_states is None  # why there are hooks
            native = body(mono, output_hidden_states=True)
        expected = torch.stack([hidden.mean(1) for hidden in native.hidden_states], dim=1)
        torch.testing.assert_close(found, expected)

    def test_without_leave_no_code_runs_and_nobody_is_asked(self, remote, monkeypatch):
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
        with pytest.raises(UserError, match=r"needs code that comes with it .*remote_code=1"):
            opened(remote)

    def test_leave_without_need_is_refused(self, saved):
        with pytest.raises(UserError, match="leave remote_code out"):
            opened(saved("hubert"), "?remote_code=1")

    @pytest.mark.parametrize("revision", ["", "@main", "@0e10b04"])
    def test_code_of_the_hub_needs_a_full_commit(self, revision, hub_cache, remote):
        hub_cache(remote, "tiny", branches=("main", "0e10b04"))
        with pytest.raises(UserError, match="pin it by the full commit"):
            open_huggingface(parse(f"hf:somebody/tiny{revision}?remote_code=1"), None)

    def test_code_of_another_repository_is_refused(self, remote, tmp_path):
        folder = tmp_path / "other"
        shutil.copytree(remote, folder)
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"]["AutoModel"] = "somebody/code--modeling_tiny.TinyModel"
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match="another repository"):
            opened(folder, "?remote_code=1")

    @pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
    @pytest.mark.parametrize("nested", [False, True])
    def test_code_of_another_repository_for_the_input_is_refused(self, remote, tmp_path, name, nested):
        folder = tmp_path / "other"
        shutil.copytree(remote, folder)
        file = folder / name
        config = json.loads(file.read_text()) if file.exists() else {}
        part = {"auto_map": {"AutoFeatureExtractor": "somebody/code--extraction.Extractor"}}
        file.write_text(json.dumps({**config, **({"feature_extractor": part} if nested else part)}))
        with pytest.raises(UserError, match="another repository"):
            opened(folder, "?remote_code=1")

    def test_the_code_of_the_input_is_in_the_fingerprint(self, remote, tmp_path):
        prints = []
        for place, number in enumerate((1, 1, 2)):
            folder = tmp_path / str(place) / "extracting"
            shutil.copytree(remote, folder)
            file = folder / "preprocessor_config.json"
            config = json.loads(file.read_text())
            config |= {"feature_extractor_type": "Own", "auto_map": {"AutoFeatureExtractor": "own_extraction.Own"}}
            file.write_text(json.dumps(config))
            (folder / "own_extraction.py").write_text(
                "from transformers import Wav2Vec2FeatureExtractor\n\n\n"
                f"class Own(Wav2Vec2FeatureExtractor):\n    number = {number}\n"
            )
            prints.append(opened(folder, "?remote_code=1").fingerprint())
        assert prints[0] == prints[1] != prints[2]

    def test_the_code_is_in_the_fingerprint(self, remote, tmp_path):
        folder = tmp_path / "edited-tiny-music"
        shutil.copytree(remote, folder)
        with (folder / "modeling_tiny.py").open("a") as file:
            file.write("\nSOMETHING = 1\n")
        assert opened(folder, "?remote_code=1").fingerprint() != opened(remote, "?remote_code=1").fingerprint()

    def test_layers_that_cannot_be_found_or_counted_are_loud(self, remote, tmp_path):
        with pytest.raises(UserError, match=r"no list of layers at 'layers': name one that it has .*encoder\.layers"):
            opened(remote, "?remote_code=1&layers_at=layers")
        folder = tmp_path / "miscounted"
        shutil.copytree(remote, folder)
        code = (folder / "modeling_tiny.py").read_text()
        (folder / "modeling_tiny.py").write_text(
            code.replace(
                "        self.post_init",
                "        self.encoder.layers = self.encoder.layers[:2]\n        self.post_init",
            )
        )
        with pytest.raises(UserError, match=r"cannot tell where the 3 layers .*encoder\.layers \(2\).*layers_at=PATH"):
            opened(folder, "?remote_code=1")
        with pytest.raises(UserError, match=r"has 2 layers at encoder\.layers, but its configuration says 3"):
            opened(folder, "?remote_code=1&layers_at=encoder.layers")
        convolutions = opened(remote, "?remote_code=1&layers_at=feature_extractor.conv_layers")
        with pytest.raises(UserError, match="wide, but its configuration says 16"):
            convolutions.embed(noise(convolutions))


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """Lay a folder into a hub cache, as a download of its branches would."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def lay(folder, name, branches=("main",)):
        place = tmp_path / "hub" / f"models--somebody--{name}"
        shutil.copytree(folder, place / "snapshots" / COMMIT)
        (place / "refs").mkdir()
        for branch in branches:
            (place / "refs" / branch).write_text(COMMIT)

    return lay


class TestHub:
    def test_a_model_in_the_cache_opens_without_a_network(self, hub_cache, saved):
        hub_cache(saved("hubert"), "hubert")
        encoder = open_huggingface(parse("hf:somebody/hubert?layer=2"), None)
        assert (encoder.name, encoder.version) == ("hf:somebody/hubert?layer=2", COMMIT[:12])
        assert encoder.fingerprint() == opened(saved("hubert"), "?layer=2").fingerprint()
        pinned = open_huggingface(parse(f"hf:somebody/hubert@{COMMIT}"), None)
        assert (pinned.name, pinned.version) == (f"hf:somebody/hubert@{COMMIT[:12]}", COMMIT[:12])
        with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
            open_huggingface(parse("hf:somebody/hubert@v2"), None)

    def test_pinned_remote_code(self, hub_cache, remote):
        hub_cache(remote, "tiny-music")
        encoder = open_huggingface(parse(f"hf:somebody/tiny-music@{COMMIT}?remote_code=1"), None)
        assert encoder.name == f"hf:somebody/tiny-music@{COMMIT[:12]}"
        waveforms = noise(encoder)
        assert torch.equal(encoder.embed(waveforms), opened(remote, "?remote_code=1").embed(waveforms))
        assert encoder.fingerprint() == opened(remote, "?remote_code=1").fingerprint()


class TestOptions:
    def test_pooling(self, saved):
        both = opened(saved("hubert"), "?pool=mean_std")
        waveforms = noise(both)
        found = both.embed(waveforms)
        assert both.dim == found.shape[1] == 2 * WIDTH
        assert torch.equal(found[:, :WIDTH], opened(saved("hubert")).embed(waveforms))
        assert (found[:, WIDTH:] > 0).all()
        most = opened(saved("hubert"), "?pool=max")
        assert (most.embed(waveforms) >= found[:, :WIDTH]).all()
        assert len({each.fingerprint() for each in (both, most, opened(saved("hubert")))}) == 3

    def test_windows_and_the_name(self, saved):
        encoder = opened(saved("hubert"), "?window=5&layer=2", hop="2.5")
        assert (encoder.window_seconds, encoder.hop_seconds) == (5.0, 2.5)
        assert encoder.name == "hf:hubert?hop=2.5&layer=2&window=5"
        assert opened(saved("hubert"), "?window=track").window_seconds is None

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("?layr=7", "did you mean 'layer'"), ("?layer=seven", "'seven': give a whole number"),
            ("?pool=median", "one of mean"),
            ("?window=0", "above 0"), ("?window=-3", "above 0"), ("?window=track&hop=1", "leave it out"),
            ("?minimum=20", "above its window"), ("?layers_at=nowhere", "no list of layers"),
        ],
    )  # fmt: skip
    def test_wrong_options_are_named(self, saved, query, message):
        with pytest.raises(UserError, match=message):
            opened(saved("hubert"), query)

    def test_batches_are_cut_to_what_memory_holds(self, monkeypatch):
        assert huggingface_encoder.windows_at_once("cpu", 10.0) == 3
        assert huggingface_encoder.windows_at_once("cpu", 600.0) == 1
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**36, 2**40))
        assert huggingface_encoder.windows_at_once("cuda:0", 10.0) == 51


class TestProblems:
    def test_weights_that_are_not_there_are_never_random(self, saved, tmp_path):
        from safetensors.torch import load_file, save_file

        folder = tmp_path / "torn"
        shutil.copytree(saved("hubert"), folder)
        tensors = load_file(folder / "model.safetensors")
        lost = [name for name in tensors if "layers.1.attention" in name]
        save_file({k: v for k, v in tensors.items() if k not in lost}, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(UserError, match=f"lack {len(lost)} tensor.*layers.1.attention"):
            opened(folder)

    def test_tensors_that_are_not_used_are_named(self, saved):
        assert opened(saved("wav2vec2")).weights_found.unused == ("lm_head.bias", "lm_head.weight")
        assert opened(saved("hubert")).weights_found == WeightsFound()

    @pytest.mark.parametrize("name", ["hubert", "wav2vec2", "whisper", "ast"])
    def test_layers_of_the_file_that_the_configuration_does_not_count_are_found(self, saved, tmp_path, name):
        """A configuration that says fewer layers gives a shorter model without a word."""
        folder = tmp_path / name
        shutil.copytree(saved(name), folder)
        config = json.loads((folder / "config.json").read_text())
        for key in ("num_hidden_layers", "encoder_layers"):
            if key in config:
                config[key] = LAYERS - 1
        (folder / "config.json").write_text(json.dumps(config))
        found = opened(folder).weights_found
        assert found.beyond
        assert all(f".{LAYERS - 1}." in tensor for tensor in found.beyond)
        assert not opened(saved(name)).weights_found.beyond
        (finding,) = [finding for finding in check(opened(folder), batch_size=1).findings if finding.rule == "weights"]
        assert not finding.passed

    def test_a_mask_that_only_training_uses_may_be_missing(self, saved, tmp_path):
        from safetensors.torch import load_file, save_file

        folder = tmp_path / "unmasked"
        shutil.copytree(saved("hubert"), folder)
        tensors = load_file(folder / "model.safetensors")
        del tensors["masked_spec_embed"]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        waveforms = noise(opened(folder))
        assert torch.equal(opened(folder).embed(waveforms), opened(saved("hubert")).embed(waveforms))

    def test_half_precision_weights_compute_in_float32(self, saved, tmp_path):
        transformers.HubertModel.from_pretrained(saved("hubert")).half().save_pretrained(tmp_path)
        shutil.copy(saved("hubert") / "preprocessor_config.json", tmp_path)
        encoder = opened(tmp_path)
        assert encoder.embed(noise(encoder)).dtype == torch.float32
        assert {tensor.dtype for tensor in encoder._model.parameters()} == {torch.float32}

    def test_a_family_that_nobody_covers_is_named(self, tmp_path):
        config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=8)
        transformers.BertModel(config).save_pretrained(tmp_path)
        with pytest.raises(UserError, match=r"type 'bert'.*wav2vec2.*plug-in"):
            opened(tmp_path)

    def test_a_type_that_transformers_does_not_know_is_named(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "muq"}')
        with pytest.raises(UserError, match=r"'muq', which transformers .* does not know"):
            opened(tmp_path)

    @pytest.mark.parametrize("text", ["{}", None, "{not json"])
    def test_a_folder_without_a_configuration_is_refused(self, tmp_path, text):
        if text is not None:
            (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config\.json|not a valid JSON|does not know"):
            opened(tmp_path)

    def test_a_family_that_needs_its_extractor_says_so(self, saved, tmp_path):
        folder = tmp_path / "ast"
        shutil.copytree(saved("ast"), folder)
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(UserError, match=r"no preprocessor_config\.json"):
            opened(folder)

    def test_offline_and_not_in_the_cache_names_the_way(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(UserError, match=r"HF_HUB_OFFLINE is set .* hf download nobody/nothing --revision abc; or"):
            open_huggingface(parse("hf:nobody/nothing@abc"), None)

    @pytest.mark.parametrize(
        ("raised", "message"),
        [
            ("You are trying to access a gated repo.\nMake sure", "it is gated.*hf auth login"),
            ("a/b is not a local folder and is not a valid model identifier listed", "no such model, or it is private"),
            ("x is not a valid git identifier (branch name)", "has no revision 'x'"),
            ("We couldn't connect to 'https://huggingface.co'", "the hub cannot be reached"),
            ("something else", "something else"),
        ],
    )
    def test_what_the_hub_says_becomes_what_to_do(self, raised, message, monkeypatch):
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

        def fail(*_, **__):
            raise OSError(raised)

        monkeypatch.setattr(transformers.PretrainedConfig, "get_config_dict", fail)
        with pytest.raises(UserError, match=message):
            open_huggingface(parse("hf:a/b@x"), None)

    @pytest.mark.parametrize("place", ["/nowhere/at/all", "./nowhere", "a/b/c"])
    def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(self, place):
        with pytest.raises(UserError, match="no folder at"):
            open_huggingface(parse(f"hf:{place}"), None)

    def test_a_folder_has_no_revision(self, saved):
        from benchmark.encoders.spec import EncoderSpec

        with pytest.raises(UserError, match="which has no revision"):
            open_huggingface(EncoderSpec("hf:x", "hf", str(saved("hubert")), revision="main"), None)

    def test_without_transformers_the_command_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(UserError, match=r"\n  .* -P -m pip install .*\[hf\]'?$"):
            open_huggingface(parse("hf:a/b"), None)

    def test_a_torchaudio_of_another_torch_is_explained(self, monkeypatch):
        class Broken:
            def __getattr__(self, name):
                raise OSError("libc10_cuda.so: cannot open shared object file")

        monkeypatch.setitem(sys.modules, "transformers", Broken())
        with pytest.raises(UserError, match="pip uninstall torchaudio"):
            open_huggingface(parse("hf:a/b"), None)

    def test_its_logging_is_as_it_was(self, saved):
        before = transformers.utils.logging.get_verbosity()
        opened(saved("hubert"))
        assert transformers.utils.logging.get_verbosity() == before


def test_another_version_of_transformers_is_another_fingerprint():
    contents = [huggingface._content("w", {}, None, None, version) for version in ("5.23.0", "5.23.1", "5.24.0")]
    assert contents[0] == contents[1] != contents[2]
