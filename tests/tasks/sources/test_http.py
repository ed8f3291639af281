"""What of a mirror needs no server; transfers are tested through ``fetch`` in test_download.py."""

import hashlib

import pytest

from tasks.sources import http
from tasks.sources.card import Source
from tasks.sources.http import MirrorError, from_mirror, origin_of
from tasks.sources.state import mismatch

DATA = b"abc" * 100
SOURCE = Source(file="a.bin", what="audio", sha256=hashlib.sha256(DATA).hexdigest(), size=300)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (DATA, ""),
        (DATA[1:], "wrong size: expected 300 bytes, found 299"),
        (b"x" * 300, "wrong sha256: expected "),
    ],
)
def test_a_mismatch_is_told(tmp_path, data, problem):
    (tmp_path / "a.bin").write_bytes(data)
    found = mismatch(tmp_path / "a.bin", SOURCE)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_an_empty_file_is_never_right(tmp_path):
    (tmp_path / "a.bin").touch()
    assert mismatch(tmp_path / "a.bin", Source(file="a.bin", what="audio")) == "it is empty"


def parts(*pieces):
    """Return a transfer that leaves these pieces, one at each call."""
    left = list(pieces)

    def transfer(url, source, part, progress, headers):
        part.write_bytes(left.pop(0))

    return transfer


def test_a_whole_part_is_left_and_a_wrong_one_is_not(tmp_path, monkeypatch):
    part = tmp_path / "a.bin.part"
    monkeypatch.setattr(http, "_transfer", parts(DATA))
    from_mirror("http://127.0.0.1:9/a.bin", SOURCE, part, None)
    assert part.read_bytes() == DATA
    part.unlink()
    monkeypatch.setattr(http, "_transfer", parts(b"x" * 300))
    with pytest.raises(MirrorError, match="wrong sha256"):
        from_mirror("http://127.0.0.1:9/a.bin", SOURCE, part, None)
    assert not part.exists()


def test_what_an_earlier_call_left_is_not_the_mirrors_fault(tmp_path, monkeypatch):
    part = tmp_path / "a.bin.part"
    part.write_bytes(b"x")
    origin_of(part).write_text("http://127.0.0.1:9/a.bin\ntag\n")
    monkeypatch.setattr(http, "_transfer", parts(b"x" * 300, DATA))
    from_mirror("http://127.0.0.1:9/a.bin", SOURCE, part, None)
    assert part.read_bytes() == DATA
    assert not origin_of(part).exists()


def test_who_asks_is_sent_to_the_mirror(tmp_path, monkeypatch):
    sent = []

    def transfer(url, source, part, progress, headers):
        sent.append(dict(headers))
        part.write_bytes(DATA)

    monkeypatch.setattr(http, "_transfer", transfer)
    from_mirror("http://127.0.0.1:9/a.bin", SOURCE, tmp_path / "a.bin.part", None, {"Authorization": "Bearer me"})
    from_mirror("http://127.0.0.1:9/a.bin", SOURCE, tmp_path / "b.bin.part", None)
    assert sent == [{"Authorization": "Bearer me"}, {}]
