import hashlib
import os

import pytest

from benchmark.system.files import content_hash


def test_the_hash_is_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert content_hash(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="such devices are of Unix")  # noqa: PTH110
@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_what_never_ends_is_refused(tmp_path, kind):
    path = tmp_path / "a"
    {"device": lambda: path.symlink_to("/dev/zero"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(OSError, match="no regular file"):
        content_hash(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        content_hash(tmp_path / "a")
