"""What a file really is: by its first bytes, whatever its name says."""

import numpy as np
import pytest

from benchmark.audio import av_decoder
from benchmark.audio.containers import sniff
from benchmark.audio.decode import AudioRule, DamagedAudioError, load
from tests.benchmark.sound_bytes import aac_frames, mp3, sound

REST = np.random.default_rng(0).bytes(5000)
ID3 = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)


@pytest.fixture(autouse=True)
def without_ffmpeg(monkeypatch):
    monkeypatch.setattr(av_decoder, "form", lambda: "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x1cftypM4A ", "MPEG-4"),
        (b"\0\0\0\x08moov", "QuickTime"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "Windows Media"),
        (b"\x1a\x45\xdf\xa3\x01", "Matroska"),
        (b"\x0b\x77\x4c\xf9", "AC-3"),
        (b"\x7f\xfe\x80\x01", "DTS"),
        (b"MAC \x96\x0f", "Monkey"),
        (b"wvpk", "WavPack"),
        (b"FLV\x01\x05", "Flash"),
        (b".RMF\0\0", "RealMedia"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        ((b"\x47" + bytes(187)) * 4, "MPEG transport stream"),
        (aac_frames(), "AAC (ADTS)"),
    ],
)
@pytest.mark.parametrize("before", [b"", ID3])
def test_sound_that_libsndfile_cannot_read(tmp_path, data, words, before):
    found = sniff(before + data + REST)
    assert found.sound
    assert words in found.describe()
    assert "convert it" in found.describe()
    path = tmp_path / "a.mp3"
    path.write_bytes(before + data + REST)
    with pytest.raises(DamagedAudioError, match="convert it"):
        load(path, AudioRule(16000))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"error": "quota exceeded", "code": 429}', "a server in JSON"),
        (b'  [{"message": "nicht gefunden \xc3\xa4"}]', "a server in JSON"),
        (b"\xef\xbb\xbf{}", "a server in JSON"),
        (b"<Error><Code>AccessDenied</Code></Error>", "a server in XML"),
        (b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>', "a server in XML"),
        (b"<!DOCTYPE HTML PUBLIC><html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--2.mp3", "git annex get"),
        (b"404 Not Found", "text"),
        (bytes(3), "nothing but zeros"),
        (bytes(5000), "nothing but zeros"),
        (b"PK\x03\x04" + REST, "a zip archive"),
        (b"\x1f\x8b\x08\x00" + REST, "gzip"),
        (b"%PDF-1.7" + REST, "a PDF"),
        (b"\xff\xd8\xff\xe0" + REST, "a JPEG image"),
    ],
)
@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.flac", "a.au", "a"])
def test_what_is_no_sound(tmp_path, data, words, name):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DamagedAudioError) as caught:
        load(path, AudioRule(16000))
    assert words in caught.value.problem
    assert "exist" not in caught.value.problem
    assert "fetch" in caught.value.problem or "git" in caught.value.problem


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.raw", "a.vox", "a.gsm", "a"])
@pytest.mark.parametrize("data", [REST, b"\x00\x01\x02\x03" * 500, b"\xfe" * 3000])
def test_what_nobody_knows_is_not_said_to_be_missing(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DamagedAudioError) as caught:
        load(path, AudioRule(16000))
    assert "exist" not in caught.value.problem
    assert caught.value.problem.startswith("it is not audio that libsndfile can read")


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"])
def test_what_libsndfile_reads_has_no_name(kind):
    assert sniff(sound(kind, 22050)) is None


def test_an_mp3_that_begins_like_text_in_its_tag():
    assert sniff(ID3 + mp3()) is None


def test_raw_samples_and_a_wav_file_under_their_name(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(REST)
    with pytest.raises(DamagedAudioError, match=r"it has no header, which would say its rate and channels\. Convert"):
        load(path, AudioRule(16000))
    path.write_bytes(sound())
    assert load(path, AudioRule(16000)).seconds == 2
