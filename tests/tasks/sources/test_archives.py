"""Archives: good ones in all forms, and those that were made to do harm."""

import gzip
import hashlib
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from collections import namedtuple

import pytest

from tasks.errors import TaskError
from tasks.sources import archives, disk
from tasks.sources.archives import concatenate, unpack
from tasks.sources.card import Source, parts_of
from tasks.sources.fetch import obtain, pending
from tasks.sources.state import is_unpacked

FILES = {"genres/blues/1.wav": b"one" * 1000, "genres/rock/2.wav": b"two" * 2000, "readme": b"r"}
Usage = namedtuple("Usage", "total used free")


def make_tar(path, files=FILES, mode="w:gz", change=None):
    with tarfile.open(path, mode) as file:
        for name, data in files.items() if isinstance(files, dict) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change is not None:
                change(info)
            file.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def make_zip(path, files=FILES, change=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items() if isinstance(files, dict) else files:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if change is not None:
                change(info)
            file.writestr(info, data)
    return path


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


MAKERS = {
    "x.zip": make_zip,
    "x.tar": lambda path, files=FILES: make_tar(path, files, "w"),
    "x.tar.gz": make_tar,
    "x.tar.bz2": lambda path, files=FILES: make_tar(path, files, "w:bz2"),
    "x.tar.xz": lambda path, files=FILES: make_tar(path, files, "w:xz"),
}


@pytest.fixture(params=MAKERS)
def make(request, tmp_path):
    return lambda files=FILES: MAKERS[request.param](tmp_path / request.param, files)


class TestUnpack:
    def test_all_files_and_nothing_else(self, make, tmp_path):
        assert unpack(make(), tmp_path / "new" / "to") == 3
        assert tree(tmp_path / "new") == {f"to/{name}": data for name, data in FILES.items()}

    def test_progress_counts_to_the_end(self, make, tmp_path):
        seen = []
        unpack(make(), tmp_path / "to", progress=lambda done, _total: seen.append(done))
        assert seen[-1] == sum(map(len, FILES.values()))
        assert seen == sorted(seen)

    def test_what_is_there_stays_or_is_replaced(self, make, tmp_path):
        (tmp_path / "to").mkdir()
        (tmp_path / "to" / "readme").write_text("old")
        (tmp_path / "to" / "mine").write_text("mine")
        unpack(make(), tmp_path / "to")
        assert tree(tmp_path / "to") == {**FILES, "mine": b"mine"}

    def test_folders_and_dots_in_names(self, tmp_path):
        def folders(info):
            if info.name.endswith("/"):
                info.type = tarfile.DIRTYPE

        files = [("./", b""), ("./genres/", b""), ("./genres/a.wav", b"a")]
        unpack(make_tar(tmp_path / "x.tgz", files, change=folders), tmp_path / "to")
        unpack(make_zip(tmp_path / "x.zip", [("b/", b""), ("b\\c.wav", b"c")]), tmp_path / "to")
        assert tree(tmp_path / "to") == {"genres/a.wav": b"a", "b/c.wav": b"c"}

    def test_a_tar_that_ends_like_a_zip(self, tmp_path):
        inner = make_zip(tmp_path / "inner.zip").read_bytes()
        unpack(make_tar(tmp_path / "x.tar", {"inner.zip": inner}, "w"), tmp_path / "to")
        assert tree(tmp_path / "to") == {"inner.zip": inner}

    def test_files_are_not_executable(self, tmp_path):
        def program(info):
            info.mode = 0o4777

        unpack(make_tar(tmp_path / "x.tgz", change=program), tmp_path / "to")
        assert not (tmp_path / "to" / "readme").stat().st_mode & (stat.S_IXUSR | stat.S_ISUID)


class TestMalice:
    def refused(self, archive, tmp_path, why):
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "outside").write_text("safe")
        with pytest.raises(TaskError, match=why):
            unpack(archive, tmp_path / "home" / "to")
        assert tree(tmp_path / "home") == {}
        assert (tmp_path / "outside").read_text() == "safe"

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("../outside", "leads out"),
            ("a/../../outside", "leads out"),
            ("..\\outside", "leads out"),
            ("/tmp/outside", "is absolute"),
            ("\\outside", "is absolute"),
            ("C:\\outside", "is absolute"),
            ("a/" + "x" * 256, "is too long"),
            ("/".join(["x" * 200] * 6), "is too long"),
            ("a\nb", "control characters"),
        ],
    )
    def test_names(self, make, tmp_path, name, why):
        self.refused(make([("good", b"1"), (name, b"evil")]), tmp_path, why)

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    @pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a")])
    def test_a_name_twice(self, make, tmp_path, names):
        self.refused(make([(name, b"x") for name in names]), tmp_path, "twice")

    @pytest.mark.parametrize(
        ("kind", "why"),
        [
            (tarfile.SYMTYPE, "link"),
            (tarfile.LNKTYPE, "link"),
            (tarfile.CHRTYPE, "device"),
            (tarfile.BLKTYPE, "device"),
            (tarfile.FIFOTYPE, "device"),
        ],
    )
    @pytest.mark.parametrize("target", ["../../outside", "good"])
    def test_what_is_no_file_in_a_tar(self, tmp_path, kind, why, target):
        def change(info):
            if info.name == "evil":
                info.type, info.linkname, info.size = kind, target, 0

        archive = make_tar(tmp_path / "x.tgz", [("good", b"1"), ("evil", b"")], change=change)
        self.refused(archive, tmp_path, f"'evil' is a {why}")

    @pytest.mark.parametrize(("kind", "why"), [(stat.S_IFLNK, "link"), (stat.S_IFCHR, "device")])
    def test_what_is_no_file_in_a_zip(self, tmp_path, kind, why):
        def change(info):
            if info.filename == "evil":
                info.external_attr = (kind | 0o777) << 16

        archive = make_zip(tmp_path / "x.zip", [("good", b"1"), ("evil", b"../../outside")], change=change)
        self.refused(archive, tmp_path, f"'evil' is a {why}")

    def test_a_link_of_the_users_own_is_not_followed_out(self, make, tmp_path):
        (tmp_path / "to").mkdir()
        (tmp_path / "theirs").mkdir()
        (tmp_path / "to" / "genres").symlink_to(tmp_path / "theirs")
        with pytest.raises(TaskError, match="leads out"):
            unpack(make(), tmp_path / "to")
        assert not tree(tmp_path / "theirs")

    def test_bombs(self, make, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "FLOOR", 10_000)
        archive = make({"zeros": bytes(3_000_000)})
        if archive.suffix != ".tar":  # which is as large as what it holds
            self.refused(archive, tmp_path, "bomb")

    def test_a_zip_that_lies_about_sizes(self, tmp_path):
        archive = make_zip(tmp_path / "x.zip", {"a": bytes(100_000)})
        data = bytearray(archive.read_bytes())
        at = data.rindex(b"PK\1\2")
        data[at + 24 : at + 28] = struct.pack("<I", 10)  # the size that the directory tells
        archive.write_bytes(data)
        self.refused(archive, tmp_path, "damaged|not of the 10 bytes")

    def test_a_password(self, tmp_path):
        archive = make_zip(tmp_path / "x.zip", {"a": b"1"})
        data = bytearray(archive.read_bytes())
        data[data.rindex(b"PK\1\2") + 8] |= 1
        archive.write_bytes(data)
        self.refused(archive, tmp_path, "encrypted")

    def test_too_many_files(self, make, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "MEMBERS", 2)
        self.refused(make(), tmp_path, "more than 2 files")


class TestDamage:
    @pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
    def test_a_cut_archive(self, make, tmp_path, keep):
        archive = make({name: os.urandom(50_000) for name in FILES})
        archive.write_bytes(archive.read_bytes()[: int(keep * archive.stat().st_size)])
        with pytest.raises(TaskError, match="fetch it again"):
            unpack(archive, tmp_path / "to")
        assert tree(tmp_path / "to") == {}

    @pytest.mark.parametrize("data", [b"", b"no archive at all", b"<html>log in</html>", b"PK\3\4 but no zip"])
    def test_what_is_no_archive(self, tmp_path, data):
        (tmp_path / "x.zip").write_bytes(data)
        with pytest.raises(TaskError, match="fetch it again"):
            unpack(tmp_path / "x.zip", tmp_path / "to")

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_an_archive_of_nothing(self, tmp_path, mode):
        with pytest.raises(TaskError, match="fetch it again"):
            unpack(make_tar(tmp_path / "x", {}, mode), tmp_path / "to")

    def test_flipped_bytes(self, tmp_path):
        archive = make_zip(tmp_path / "x.zip", {"a": os.urandom(10_000)})
        data = bytearray(archive.read_bytes())
        data[5000] ^= 255
        archive.write_bytes(data)
        with pytest.raises(TaskError, match="damaged"):
            unpack(archive, tmp_path / "to")

    def test_no_archive(self, tmp_path):
        with pytest.raises(TaskError, match=r"x\.zip"):
            unpack(tmp_path / "x.zip", tmp_path / "to")


class TestRoom:
    def test_too_little_is_told_first(self, make, tmp_path, monkeypatch):
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(10, 0, 10))
        with pytest.raises(TaskError, match="no room for what x"):
            unpack(make(), tmp_path / "to")
        assert tree(tmp_path / "to") == {}

    def test_a_compressed_tar_is_checked_member_by_member(self, tmp_path, monkeypatch):
        archive = make_tar(tmp_path / "x.tgz", {"zeros": bytes(3_000_000)})
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(10**6, 0, 10**6))
        with pytest.raises(TaskError, match=r"no room .* needs 3\.0 MB"):
            unpack(archive, tmp_path / "to")

    def test_a_disk_that_fills_up(self, make, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        with pytest.raises(TaskError, match="the disk is full"):
            unpack(make(), tmp_path / "to", progress=full)
        assert tree(tmp_path / "to") == {}


class TestInterruption:
    def test_ctrl_c_leaves_nothing(self, make, tmp_path):
        def stop(*_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            unpack(make(), tmp_path / "to", progress=stop)
        assert tree(tmp_path / "to") == {}

    def test_a_killed_unpack_is_redone(self, make, tmp_path):
        archive = make()
        code = (
            "import sys, time\nfrom pathlib import Path\nfrom tasks.sources.archives import unpack\n"
            "def wait(done, total):\n    print(done, flush=True)\n    time.sleep(60)\n"
            "unpack(Path(sys.argv[1]), Path(sys.argv[2]), progress=wait)\n"
        )
        command = [sys.executable, "-c", code, str(archive), str(tmp_path / "to")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.readline()
        process.kill()
        process.wait(30)
        process.stdout.close()
        assert all(".unpacking" in name for name in tree(tmp_path / "to"))
        unpack(archive, tmp_path / "to")
        assert tree(tmp_path / "to") == FILES


class TestConcatenate:
    def test_parts_are_joined_in_order(self, tmp_path):
        parts = []
        for i in range(3):
            parts.append(tmp_path / f"x.zip.00{i + 1}")
            parts[-1].write_bytes(bytes([i]) * 1000)
        assert concatenate(parts, tmp_path / "x.zip").read_bytes() == bytes(1000) + b"\1" * 1000 + b"\2" * 1000
        assert not (tmp_path / "x.zip.part").exists()

    def test_a_part_that_is_missing(self, tmp_path):
        with pytest.raises(TaskError, match=r"x\.zip\.001"):
            concatenate([tmp_path / "x.zip.001"], tmp_path / "x.zip")

    def test_no_room(self, tmp_path, monkeypatch):
        (tmp_path / "x.zip.001").write_bytes(bytes(1000))
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(10, 0, 10))
        with pytest.raises(TaskError, match="no room"):
            concatenate([tmp_path / "x.zip.001"], tmp_path / "x.zip")


def source(path, **more):
    """The source of a file that is already in its root."""
    settings = {"file": path.name, "what": "audio", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return Source(**(settings | more))


def split(archive, count=3):
    """Split an archive into parts and return them as sources of which all say where they are unpacked."""
    data = archive.read_bytes()
    archive.unlink()
    size = len(data) // count + 1
    found = []
    for i in range(count):
        part = archive.with_name(f"{archive.name}.00{i + 1}")
        part.write_bytes(data[i * size : (i + 1) * size])
        found.append(source(part, unpack="mp3"))
    return found


class TestObtain:
    def test_an_archive_is_unpacked_once_and_removed(self, tmp_path):
        wanted = source(make_tar(tmp_path / "x.tgz"), unpack="audio")
        assert pending([wanted], tmp_path) == [[wanted]]
        assert obtain([wanted], tmp_path) == [wanted]
        assert tree(tmp_path / "audio") == FILES
        assert not (tmp_path / "x.tgz").exists()
        assert is_unpacked(wanted, tmp_path)
        assert obtain([wanted], tmp_path) == []
        assert is_unpacked(wanted, tmp_path)

    @pytest.mark.parametrize("more", [{"what": "annotations"}, {}])
    def test_archives_of_annotations_are_kept_and_others_on_demand(self, tmp_path, more):
        wanted = source(make_tar(tmp_path / "x.tgz"), unpack=".", **more)
        obtain([wanted], tmp_path, keep_archives=not more)
        assert (tmp_path / "x.tgz").exists()
        assert (tmp_path / "readme").exists()

    def test_again(self, tmp_path):
        wanted = source(make_tar(tmp_path / "x.tgz"), unpack=".")
        obtain([wanted], tmp_path, keep_archives=True)
        (tmp_path / "readme").unlink()
        assert obtain([wanted], tmp_path) == []
        assert obtain([wanted], tmp_path, again=True) == [wanted]
        assert (tmp_path / "readme").exists()

    def test_another_version_of_the_archive_is_unpacked_too(self, tmp_path):
        obtain([source(make_tar(tmp_path / "x.tgz"), unpack=".")], tmp_path)
        assert obtain([source(make_tar(tmp_path / "x.tgz", {"new": b"n"}), unpack=".")], tmp_path)
        assert (tmp_path / "new").exists()

    def test_a_split_archive(self, tmp_path):
        parts = split(make_zip(tmp_path / "mp3.zip"))
        seen = []
        assert obtain(parts[::-1], tmp_path, progress=lambda source, *_: seen.append(source.file)) == parts
        assert tree(tmp_path / "mp3") == FILES
        assert not list(tmp_path.glob("mp3.zip*"))
        assert set(seen) == {"mp3.zip.001"}
        assert obtain(parts, tmp_path) == []

    def test_a_split_archive_of_which_one_part_says_where(self, tmp_path):
        first, *others = split(make_zip(tmp_path / "mp3.zip"))
        parts = [*(part.model_copy(update={"unpack": None}) for part in others), first]
        assert obtain(parts, tmp_path) == [first, *parts[:-1]]
        assert tree(tmp_path / "mp3") == FILES

    def test_a_part_that_the_card_lacks(self, tmp_path):
        first, _, last = split(make_zip(tmp_path / "mp3.zip"))
        with pytest.raises(TaskError, match="add part 2 to the card"):
            parts_of(first, [first, last])

    def test_what_can_not_be_had_is_left_out(self, tmp_path):
        assert pending([Source(file="x.zip", what="audio", unpack="."), Source(file="y", what="audio")], tmp_path) == []

    def test_a_plain_file_that_is_here(self, tmp_path):
        (tmp_path / "x").write_bytes(b"1")
        assert obtain([source(tmp_path / "x")], tmp_path) == []

    def test_an_archive_that_cannot_be_unpacked_leaves_no_mark(self, tmp_path):
        (tmp_path / "x.tgz").write_bytes(gzip.compress(b"no tar"))
        wanted = source(tmp_path / "x.tgz", unpack=".")
        with pytest.raises(TaskError, match=r"x\.tgz"):
            obtain([wanted], tmp_path)
        assert not is_unpacked(wanted, tmp_path)
        assert (tmp_path / "x.tgz").exists()

    def test_a_mark_that_cannot_be_read_does_not_count(self, tmp_path):
        wanted = source(make_tar(tmp_path / "x.tgz"), unpack=".")
        obtain([wanted], tmp_path, keep_archives=True)
        next((tmp_path / ".unpacked").glob("*.json")).write_text("{")
        assert not is_unpacked(wanted, tmp_path)

    def test_a_folder_outside_the_root(self, tmp_path):
        wanted = source(make_tar(tmp_path / "x.tgz"), unpack="../elsewhere")
        with pytest.raises(TaskError, match="does not lie below"):
            obtain([wanted], tmp_path)


def test_the_time_a_file_takes_does_not_grow_with_their_number(tmp_path):
    seconds = {}
    for number in (500, 5000):
        archive = make_tar(tmp_path / "x.tar", {f"{i % 50}/{i}.txt": b"x" for i in range(number)}, "w")
        start = time.perf_counter()
        assert unpack(archive, tmp_path / f"to {number}") == number
        seconds[number] = time.perf_counter() - start
    assert seconds[5000] < 40 * seconds[500]


def empty_files(count, size=0):
    return [(f"a/{i}", bytes(size)) for i in range(count)]


@pytest.mark.parametrize("name", [*MAKERS])
def test_tens_of_thousands_of_empty_files_are_refused_before_many_are_written(tmp_path, monkeypatch, name):
    monkeypatch.setattr(archives, "MANY", 1000)
    MAKERS[name](tmp_path / name, empty_files(3000))
    monkeypatch.setattr(archives, "SMALLEST", 2000 if name == "x.tar" else archives.SMALLEST)
    with pytest.raises(TaskError, match=r"it holds [0-9,]+ files or more in [0-9,]+ bytes, so that most are empty"):
        unpack(tmp_path / name, tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


def test_folders_count_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MANY", 1000)

    def folder(info):
        info.type = tarfile.DIRTYPE

    make_tar(tmp_path / "x.tar.gz", empty_files(3000), change=folder)
    with pytest.raises(TaskError, match="so that most are empty"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "to")


def test_many_files_that_hold_something_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MANY", 100)
    files = [(f"a/{i}", os.urandom(400)) for i in range(300)]
    for name, make in MAKERS.items():
        assert unpack(make(tmp_path / name, files), tmp_path / f"to-{name}") == 300


@pytest.mark.parametrize("kind", ["pax", "name", "link", "global"])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_header_that_takes_the_memory_is_refused(tmp_path, kind, mode):
    size = 30_000_000
    kinds = {
        "pax": tarfile.XHDTYPE,
        "global": tarfile.XGLTYPE,
        "name": tarfile.GNUTYPE_LONGNAME,
        "link": tarfile.GNUTYPE_LONGLINK,
    }
    opened = gzip.open if mode == "w:gz" else open
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kinds[kind], size
    with opened(tmp_path / "x.tar", "wb") as file:
        file.write(info.tobuf())
        file.write(bytes(size + 512 * 20))
    tracemalloc.start()
    with pytest.raises(TaskError, match="a header of 30,000,000 bytes"):
        unpack(tmp_path / "x.tar", tmp_path / "to")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_headers_within_headers_are_refused(tmp_path):
    info = tarfile.TarInfo("x")
    info.type = tarfile.XHDTYPE
    with (tmp_path / "x.tar").open("wb") as file:
        for _ in range(3000):
            file.write(info.tobuf())
        file.write(bytes(10240))
    with pytest.raises(TaskError, match=r"thousand deep|damaged"):
        unpack(tmp_path / "x.tar", tmp_path / "to")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
def test_a_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    with pytest.raises(TaskError, match="it is a pipe, not a file"):
        unpack(tmp_path / "x.tar", tmp_path / "to")
