"""Sound that libsndfile cannot read: by FFmpeg where PyAV is there, and a refusal that names the extra where not."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.audio import av_decoder
from benchmark.audio.decode import AudioRule, DamagedAudioError, decode, load
from benchmark.audio.index import AudioIndex, HashedFile, identify, inspect_again
from benchmark.audio.reader import decode_one
from benchmark.system.files import content_hash
from benchmark.system.progress import Silent
from tests.benchmark.sound_bytes import aac_frames, noise

RATE = 44100
RULE = AudioRule(16000)


@pytest.fixture
def without(monkeypatch):
    monkeypatch.setattr(av_decoder, "form", lambda: "")


def test_without_the_extra_the_refusal_names_it(tmp_path, without):
    path = tmp_path / "a.m4a"
    path.write_bytes(aac_frames())
    with pytest.raises(DamagedAudioError) as caught:
        load(path, RULE)
    assert "convert it to flac or wav, or let FFmpeg read it (pip install -c constraints.txt -e '.[av]')" in str(
        caught.value.problem
    )
    assert identify(path).key == f"{content_hash(path)}-refused"


def encoded(path: Path, codec: str, samples: np.ndarray, container: str | None = None, rate: int = RATE) -> Path:
    """Write ``samples`` [n, channels] with an encoder of FFmpeg."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono" if samples.shape[1] == 1 else "stereo")
        resampler = av.AudioResampler(format=stream.format, layout=stream.layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        stream.bit_rate = 128_000
        fifo = av.AudioFifo()
        for each in resampler.resample(frame):
            fifo.write(each)
        size = stream.codec_context.frame_size or 1024
        while (part := fifo.read(size) or fifo.read(0, partial=True)) is not None:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [("a.m4a", "aac", "ipod"), ("a.aac", "aac", "adts"), ("a.wma", "wmav2", "asf"), ("a.m4a", "alac", "ipod"),
     ("a.mka", "flac", "matroska"), ("a.ac3", "ac3", "ac3"),
     ("a.mp3", "aac", "ipod")],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_it_is_heard_whole(tmp_path, name, codec, container, channels):
    samples = noise(RATE, 3, channels)
    path = encoded(tmp_path / name, codec, samples, container)
    found = load(path, AudioRule(RATE, channels))
    assert found.seconds == pytest.approx(3, abs=0.06)
    assert found.form == av_decoder.form()
    if codec in ("alac", "flac"):
        np.testing.assert_allclose(found.samples.T, samples, atol=2**-14)
    else:
        own = np.abs(np.fft.rfft(found.samples[0, :RATE])).argmax()
        assert own == pytest.approx(220, abs=1)


def test_what_an_mp4_encoder_adds_is_left_out(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (3 * RATE, 1)).astype(np.float32)
    path = encoded(tmp_path / "a.m4a", "aac", samples, "ipod")
    found, rate, _ = decode(path)
    assert (len(found), rate) == (3 * RATE, RATE)
    lag = np.correlate(found[:8000, 0], samples[2000:6000, 0]).argmax() - 2000
    assert lag == 0


@pytest.mark.parametrize(("name", "codec", "container"), [("a.aac", "aac", "adts"), ("a.wma", "wmav2", "asf")])
def test_damage_is_named(tmp_path, name, codec, container):
    data = encoded(tmp_path / name, codec, noise(RATE, 3), container).read_bytes()
    path = tmp_path / f"cut {name}"
    path.write_bytes(data[: len(data) // 2 - 50])
    with pytest.raises(DamagedAudioError) as caught:
        load(path, RULE)
    assert caught.value.seconds_recovered == pytest.approx(1.5, abs=0.3)
    path.write_bytes(data[: len(data) // 4])
    assert decode_one(path, RULE).audio is None


def test_an_mp4_without_its_index_is_refused(tmp_path):
    data = encoded(tmp_path / "a.m4a", "aac", noise(RATE, 3), "ipod").read_bytes()
    path = tmp_path / "cut.m4a"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedAudioError, match="FFmpeg cannot read it"):
        load(path, RULE)


def test_a_film_without_sound(tmp_path):
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x1cftypM4A \0\0\0\0" + bytes(5000))
    pytest.importorskip("av")
    with pytest.raises(DamagedAudioError):
        load(path, RULE)


def test_its_version_is_in_the_key_of_these_files_alone(tmp_path, monkeypatch):
    path = encoded(tmp_path / "a.m4a", "aac", noise(RATE, 1), "ipod")
    plain = tmp_path / "b.wav"
    soundfile.write(plain, noise(RATE, 1), RATE)
    assert decode_one(path, RULE).hashed.key == f"{content_hash(path)}-{av_decoder.form()}"
    assert decode_one(plain, RULE).hashed.key == content_hash(plain)
    index = AudioIndex(tmp_path)
    index.add([identify(path), identify(plain)])
    monkeypatch.setattr(av_decoder, "form", lambda: "av-99")
    inspect_again(index, [path, plain], Silent())
    assert index.key(path) == f"{content_hash(path)}-av-99"
    assert index.key(plain) == content_hash(plain)


def test_a_file_that_was_refused_is_tried_again_where_the_extra_has_come(tmp_path):
    path = encoded(tmp_path / "a.m4a", "aac", noise(RATE, 1), "ipod")
    stat = path.stat()
    index = AudioIndex(tmp_path)
    index.add([HashedFile(str(path), stat.st_size, stat.st_mtime_ns, f"{content_hash(path)}-refused", "", 1)])
    assert decode_one(path, RULE).audio is not None
