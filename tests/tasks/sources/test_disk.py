import errno
from collections import namedtuple

import pytest

from tasks.errors import TaskError
from tasks.sources import disk
from tasks.sources.disk import NO_SPACE, refuse_if_full

Usage = namedtuple("Usage", "total used free")


def test_what_fits_passes_and_one_byte_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(100, 0, 100))
    refuse_if_full(tmp_path, 100, "x")
    with pytest.raises(TaskError, match=r"no room for x: it needs 101 bytes in .*, but 100 bytes are free"):
        refuse_if_full(tmp_path, 101, "x")


def test_a_full_disk_and_a_spent_quota_are_both_full():
    assert {errno.ENOSPC, errno.EDQUOT} == NO_SPACE
