"""Downloads from a server on the loopback that cuts connections, ignores ranges or answers something else."""

import errno
import hashlib
import os
import threading
from collections import namedtuple
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.errors import TaskError
from tasks.sources import disk, download, http, state
from tasks.sources.card import Source
from tasks.sources.download import alone, fetch
from tasks.sources.state import is_here, is_sound, problem_of, target_of

DATA = bytes(range(256)) * 1500  # 384,000 bytes: six chunks
SHA256 = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()
PAGE = b"  <!DOCTYPE html><html><body>Please log in</body></html>"
Usage = namedtuple("Usage", "total used free")


@dataclass
class Page:
    """What the server answers under one path."""

    data: bytes = DATA
    status: int = 200
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which each of the first answers breaks off
    statuses: list[int] = field(default_factory=list)  # of each of the first answers
    redirect: str = ""
    kind: str = "application/octet-stream"
    tag: str = ""
    length: bool = True
    start: int | None = None  # a wrong start of the range that is sent


class Server:
    """Serves pages, and remembers what was asked for: (path, Range, If-Range)."""

    def __init__(self):
        self.pages, self.asked = {}, []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
                self.answer(server.pages.get(self.path, Page(b"nothing here", 404)))

            def answer(self, page):
                if page.redirect:
                    self.send_response(302)
                    self.send_header("Location", page.redirect)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                status, data, start = page.statuses.pop(0) if page.statuses else page.status, page.data, 0
                asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
                if page.ranges and asked and status == 200 and condition in (None, page.tag):
                    start = int(asked.removeprefix("bytes=").rstrip("-"))
                    status = 206 if start < len(data) else 416
                self.send_response(status)
                self.send_header("Content-Type", page.kind)
                if page.tag:
                    self.send_header("ETag", page.tag)
                if status == 206:
                    data = data[start:]
                    first = start if page.start is None else page.start
                    self.send_header("Content-Range", f"bytes {first}-{len(page.data) - 1}/{len(page.data)}")
                if status == 416:
                    self.send_header("Content-Range", f"bytes */{len(page.data)}")
                    data = b""
                if page.length:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if page.cuts and status in (200, 206):
                    data = data[: page.cuts.pop(0)]
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.http.server_port}"

    def put(self, path="/file.bin", **page):
        self.pages[path] = Page(**page)
        return self.base + path

    @property
    def ranges(self):
        return [asked for _, asked, _ in self.asked]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(http, "PAUSE", 0.0)
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join(10)


def source(*urls, sha256=SHA256, file="file.bin", **more):
    return Source(file=file, what="audio", urls=urls, sha256=sha256, **more)


def left(root):
    """The names of the files below ``root``."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


class TestFetch:
    def test_the_file_is_there_and_nothing_else(self, server, tmp_path):
        url = server.put()
        assert fetch(source(url, size=len(DATA), md5=MD5), tmp_path / "new") == tmp_path / "new" / "file.bin"
        assert (tmp_path / "new" / "file.bin").read_bytes() == DATA
        assert left(tmp_path / "new") == ["file.bin"]
        assert server.ranges == [None]

    def test_a_file_in_a_folder(self, server, tmp_path):
        path = fetch(source(server.put(), file="splits/one/file.bin"), tmp_path)
        assert path == tmp_path / "splits" / "one" / "file.bin"
        assert path.read_bytes() == DATA

    def test_progress_counts_to_the_end(self, server, tmp_path):
        seen = []
        fetch(source(server.put()), tmp_path, progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (len(DATA), len(DATA))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def test_what_is_here_is_not_fetched_again(self, server, tmp_path):
        wanted = source(server.put())
        fetch(wanted, tmp_path)
        fetch(wanted, tmp_path)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("size", [None, len(DATA)])
    def test_what_is_here_but_wrong_is_replaced(self, server, tmp_path, size):
        (tmp_path / "file.bin").write_bytes(bytes(len(DATA)))
        assert fetch(source(server.put(), size=size), tmp_path).read_bytes() == DATA

    def test_a_large_file_is_only_measured(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(state, "SMALL", 10)
        (tmp_path / "file.bin").write_bytes(bytes(len(DATA)))
        wanted = source(server.put(), size=len(DATA))
        fetch(wanted, tmp_path)
        assert not server.asked
        assert "wrong sha256" in problem_of(wanted, tmp_path)

    def test_a_length_that_is_not_told(self, server, tmp_path):
        seen = []
        fetch(source(server.put(length=False)), tmp_path, progress=lambda *step: seen.append(step))
        assert seen[-1] == (len(DATA), None)

    def test_bytes_are_kept_as_they_lie_on_the_server(self, server, tmp_path):
        """A server that calls a .tar.gz a tar in gzip encoding must not make us unpack it."""
        import gzip

        data = gzip.compress(b"text")
        server.put(data=data, kind="application/x-tar")
        original = server.http.RequestHandlerClass.end_headers

        def end_headers(self):
            self.send_header("Content-Encoding", "gzip")
            original(self)

        server.http.RequestHandlerClass.end_headers = end_headers
        path = fetch(source(server.base + "/file.bin", sha256=hashlib.sha256(data).hexdigest()), tmp_path)
        assert path.read_bytes() == data

    def test_what_has_no_address_says_where_to_put_it(self, tmp_path):
        with pytest.raises(TaskError, match=r"cannot be downloaded: put it at .*file\.bin.*ask the authors"):
            fetch(source(note="ask the authors"), tmp_path)

    def test_what_has_no_address_but_is_here(self, tmp_path):
        (tmp_path / "file.bin").write_bytes(DATA)
        assert fetch(source(), tmp_path) == tmp_path / "file.bin"

    @pytest.mark.parametrize("file", ["../x", "/etc/x", "a/../../x", "", "a\\b", "a\0b"])
    def test_a_source_outside_its_root(self, tmp_path, file):
        with pytest.raises(TaskError, match="does not lie below"):
            target_of(source(file=file), tmp_path)

    def test_a_link_out_of_the_root_is_not_written_through(self, server, tmp_path):
        (tmp_path / "theirs").mkdir()
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "folder").symlink_to(tmp_path / "theirs")
        with pytest.raises(TaskError, match="nothing is written there"):
            fetch(source(server.put(), file="folder/file.bin"), tmp_path / "root")
        assert not left(tmp_path / "theirs")


class TestResume:
    def test_a_cut_connection_goes_on_with_a_range(self, server, tmp_path):
        url = server.put(cuts=[200_000])
        assert fetch(source(url), tmp_path).read_bytes() == DATA
        first, second = server.ranges
        assert first is None
        assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 200_000

    def test_every_cut_that_brought_something_is_followed_by_another_attempt(self, server, tmp_path):
        url = server.put(cuts=[70_000] * 5)
        assert fetch(source(url), tmp_path).read_bytes() == DATA
        assert len(server.asked) == 6

    def test_a_mirror_that_brings_nothing_is_given_up(self, server, tmp_path):
        url = server.put(cuts=[0] * 100)
        with pytest.raises(TaskError, match="no mirror gave it"):
            fetch(source(url), tmp_path)
        assert len(server.asked) == http.ATTEMPTS

    def test_ctrl_c_leaves_a_part_that_the_next_call_continues(self, server, tmp_path):
        def stop(done, _total):
            if done > 150_000:
                raise KeyboardInterrupt

        wanted = source(server.put())
        with pytest.raises(KeyboardInterrupt):
            fetch(wanted, tmp_path, progress=stop)
        size = (tmp_path / "file.bin.part").stat().st_size
        assert size > 150_000
        assert not (tmp_path / "file.bin").exists()
        assert fetch(wanted, tmp_path).read_bytes() == DATA
        assert server.ranges == [None, f"bytes={size}-"]
        assert left(tmp_path) == ["file.bin"]

    def test_a_server_without_ranges_starts_afresh(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(DATA[:1000])
        assert fetch(source(server.put(ranges=False)), tmp_path).read_bytes() == DATA
        assert server.ranges == ["bytes=1000-"]

    def test_another_range_than_was_asked_for_is_not_taken(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(DATA[:1000])
        assert fetch(source(server.put(start=0)), tmp_path).read_bytes() == DATA
        assert server.ranges == ["bytes=1000-", None]

    def test_a_whole_part_only_gets_its_name(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(DATA)
        fetch(source(server.put(), size=len(DATA)), tmp_path)
        assert not server.asked
        assert left(tmp_path) == ["file.bin"]

    def test_a_whole_part_of_unknown_size_is_told_by_the_server(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(DATA)
        assert fetch(source(server.put()), tmp_path).read_bytes() == DATA
        assert server.ranges == [f"bytes={len(DATA)}-"]

    @pytest.mark.parametrize("size", [None, len(DATA)])
    def test_a_part_longer_than_the_file_is_dropped(self, server, tmp_path, size):
        (tmp_path / "file.bin.part").write_bytes(DATA + b"more")
        assert fetch(source(server.put(), size=size), tmp_path).read_bytes() == DATA

    def test_a_damaged_part_is_fetched_once_more_from_the_start(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(bytes(1000))
        assert fetch(source(server.put()), tmp_path).read_bytes() == DATA
        assert server.ranges == ["bytes=1000-", None]

    def test_a_part_goes_on_at_the_next_mirror(self, server, tmp_path):
        first = server.put("/one", cuts=[100_000, 0, 0, 0])
        second = server.put("/two")
        assert fetch(source(first, second), tmp_path).read_bytes() == DATA
        path, asked, _ = server.asked[-1]
        assert path == "/two"
        assert asked is not None

    def test_a_mirror_with_another_file_does_not_cost_the_part(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(DATA[:1000])
        urls = server.put("/one", data=DATA * 2), server.put("/two", data=PAGE, kind="text/html"), server.put("/three")
        assert fetch(source(*urls, size=len(DATA)), tmp_path).read_bytes() == DATA
        assert server.ranges[-1] == "bytes=1000-"


class TestWithoutChecksum:
    def interrupted(self, url, root):
        def stop(done, _total):
            if done > 150_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fetch(source(url, sha256=None), root, progress=stop)
        return (root / "file.bin.part").stat().st_size

    def test_the_same_file_is_continued(self, server, tmp_path):
        url = server.put(tag='"one"')
        size = self.interrupted(url, tmp_path)
        assert fetch(source(url, sha256=None), tmp_path).read_bytes() == DATA
        assert server.asked[-1][1:] == (f"bytes={size}-", '"one"')
        assert left(tmp_path) == ["file.bin"]

    def test_a_file_that_has_changed_starts_afresh(self, server, tmp_path):
        url = server.put(tag='"one"')
        self.interrupted(url, tmp_path)
        server.put(tag='"two"', data=DATA[::-1])
        assert fetch(source(url, sha256=None), tmp_path).read_bytes() == DATA[::-1]

    @pytest.mark.parametrize("tag", ["", 'W/"weak"'])
    def test_without_a_validator_it_starts_afresh(self, server, tmp_path, tag):
        url = server.put(tag=tag)
        self.interrupted(url, tmp_path)
        assert fetch(source(url, sha256=None), tmp_path).read_bytes() == DATA
        assert server.ranges == [None, None]

    def test_a_part_of_one_mirror_is_not_continued_at_another(self, server, tmp_path):
        self.interrupted(server.put("/one", tag='"one"'), tmp_path)
        other = server.put("/two", tag='"one"', data=DATA[::-1])
        assert fetch(source(other, sha256=None), tmp_path).read_bytes() == DATA[::-1]
        assert server.ranges[-1] is None


class TestRefusals:
    @pytest.mark.parametrize(("name", "good"), [("sha256", SHA256), ("md5", MD5)])
    def test_a_wrong_checksum(self, server, tmp_path, name, good):
        url = server.put(data=DATA[::-1])
        found = hashlib.new(name, DATA[::-1]).hexdigest()
        with pytest.raises(TaskError, match=f"wrong {name}: expected {good}, found {found}"):
            fetch(source(url, **{"sha256": None, name: good}), tmp_path)
        assert not [name for name in left(tmp_path) if not name.endswith(".lock")]
        assert len(server.asked) == 1

    def test_a_wrong_size_is_not_even_downloaded(self, server, tmp_path):
        seen = []
        with pytest.raises(TaskError, match=f"has {len(DATA)} bytes where 5 are expected"):
            fetch(source(server.put(), size=5), tmp_path, progress=lambda *step: seen.append(step))
        assert not seen

    def test_a_redirect_to_a_login_page(self, server, tmp_path):
        login = server.put("/login", data=PAGE, kind="text/html; charset=utf-8")
        url = server.put(redirect=login)
        with pytest.raises(TaskError, match=r"an HTML page, not with the file \(redirected to .*/login\)"):
            fetch(source(url), tmp_path)
        assert not (tmp_path / "file.bin.part").exists()

    def test_a_page_that_is_called_a_file(self, server, tmp_path):
        with pytest.raises(TaskError, match="an HTML page"):
            fetch(source(server.put(data=PAGE), sha256=None), tmp_path)

    def test_a_file_that_is_called_a_page(self, server, tmp_path):
        assert fetch(source(server.put(kind="text/html")), tmp_path).read_bytes() == DATA

    def test_a_page_where_a_page_is_wanted(self, server, tmp_path):
        url = server.put(data=PAGE, kind="text/html")
        assert fetch(source(url, sha256=None, file="about.html"), tmp_path).read_bytes() == PAGE

    def test_a_redirect_to_the_file_is_followed(self, server, tmp_path):
        url = server.put(redirect=server.put("/real"))
        assert fetch(source(url), tmp_path).read_bytes() == DATA

    def test_an_empty_file(self, server, tmp_path):
        with pytest.raises(TaskError, match="empty"):
            fetch(source(server.put(data=b""), sha256=None), tmp_path)


class TestMirrors:
    def test_the_second_serves_when_the_first_does_not(self, server, tmp_path):
        assert fetch(source(server.base + "/gone", server.put()), tmp_path).read_bytes() == DATA
        assert [path for path, *_ in server.asked] == ["/gone", "/file.bin"]

    def test_all_failures_are_told(self, server, tmp_path):
        urls = [
            server.base + "/gone",
            server.put("/page", data=PAGE, kind="text/html"),
            server.put("/other", data=b"other"),
            "http://127.0.0.1:9/closed",
        ]
        with pytest.raises(TaskError) as caught:
            fetch(source(*urls, note="or ask the authors"), tmp_path)
        text = str(caught.value)
        for url, why in zip(urls, ["404", "HTML page", "wrong sha256", "refused"], strict=True):
            line = next(line for line in text.splitlines() if url in line)
            assert why in line
        assert "or ask the authors" in text.splitlines()[0]

    def test_a_busy_server_is_asked_again(self, server, tmp_path):
        url = server.put(statuses=[503, 429])
        assert fetch(source(url), tmp_path).read_bytes() == DATA
        assert len(server.asked) == 3

    def test_a_missing_file_is_asked_for_once(self, server, tmp_path):
        with pytest.raises(TaskError, match="404"):
            fetch(source(server.base + "/gone"), tmp_path)
        assert len(server.asked) == 1


class TestDisk:
    def test_too_little_room_is_told_before_the_download(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(10**6, 0, 1000))
        with pytest.raises(TaskError, match=r"no room for file\.bin: it needs 384\.0 kB .* but 1\.0 kB are free"):
            fetch(source(server.put(), server.put("/two")), tmp_path)
        assert len(server.asked) == 1
        assert not (tmp_path / "file.bin.part").exists()

    def test_only_what_is_still_missing_needs_room(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(10**6, 0, 1000))
        (tmp_path / "file.bin.part").write_bytes(DATA[:-1000])
        assert fetch(source(server.put()), tmp_path).read_bytes() == DATA

    def test_a_disk_that_fills_up_leaves_a_part(self, server, tmp_path, monkeypatch):
        wanted = source(server.put())
        real = Path.open

        def full(path, mode="r", *arguments, **named):
            file = real(path, mode, *arguments, **named)
            if path.suffix == ".part" and mode == "ab":
                return FullDisk(file, 100_000)
            return file

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(TaskError, match=r"the disk is full: .*same command again"):
            fetch(wanted, tmp_path)
        monkeypatch.undo()
        size = (tmp_path / "file.bin.part").stat().st_size
        assert 0 < size <= 100_000
        assert fetch(wanted, tmp_path).read_bytes() == DATA
        assert server.ranges == [None, f"bytes={size}-"]

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written(self, server, tmp_path):
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(TaskError, match="cannot write"):
                fetch(source(server.put()), tmp_path)
        finally:
            tmp_path.chmod(0o700)

    def test_a_file_in_the_place_of_the_folder(self, server, tmp_path):
        (tmp_path / "root").write_text("")
        with pytest.raises(TaskError, match="cannot write"):
            fetch(source(server.put()), tmp_path / "root")


class FullDisk:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        if len(data) > self.room:
            self.file.write(data[: self.room])
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return self.file.write(data)


class TestLock:
    def test_two_at_once_fetch_once(self, server, tmp_path):
        wanted, paths = source(server.put()), []
        threads = [threading.Thread(target=lambda: paths.append(fetch(wanted, tmp_path))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert paths == [tmp_path / "file.bin"] * 4
        assert len(server.asked) == 1

    def test_who_waits_too_long_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setattr(download, "LOCK_SECONDS", 0.05)
        with alone(tmp_path / "x"), pytest.raises(TaskError, match="another process"), alone(tmp_path / "x"):
            pass


class TestSmall:
    def test_problem_of(self, tmp_path):
        wanted = source()
        assert problem_of(wanted, tmp_path) == "it is missing"
        (tmp_path / "file.bin").write_bytes(DATA[1:])
        assert "expected" in problem_of(wanted, tmp_path)
        assert is_here(wanted, tmp_path)
        assert not is_sound(wanted, tmp_path)
        (tmp_path / "file.bin").write_bytes(DATA)
        assert problem_of(wanted, tmp_path) == ""
        assert not is_here(source(size=3), tmp_path)
