import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import optuna
import pytest
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from probes.search import storage as module
from probes.search.storage import SearchStudy, StorageError, open_study


def ask(study: SearchStudy, *, claimed: bool = True) -> optuna.Trial:
    trial = study.study.ask()
    trial.suggest_float("x", 0, 1)
    if claimed:
        study.claim(trial)
    return trial


def numbers(trials) -> list[int]:
    return [trial.number for trial in trials]


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    """What ``open_study`` takes to open one and the same study again."""
    if request.param == "journal":
        return {"storage": None, "folder": tmp_path / "search", "name": "s"}
    return {"storage": f"sqlite:///{tmp_path / 'search.db'}", "folder": tmp_path, "name": "s"}


class TestOpenStudy:
    def test_outlives_its_process(self, storage):
        with open_study(**storage) as study:
            trial = ask(study)
            study.study.tell(trial, 0.25)
        with open_study(**storage) as again:
            assert [(t.number, t.value, t.params) for t in again.trials] == [(0, 0.25, trial.params)]

    def test_keeps_studies_apart_by_name(self, storage):
        with open_study(**storage) as study:
            ask(study)
        with open_study(**{**storage, "name": "other"}) as other:
            assert other.trials == []

    def test_maximises(self, storage):
        with open_study(**storage) as study:
            assert study.study.direction == optuna.study.StudyDirection.MAXIMIZE

    def test_in_memory_nothing_is_written(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with open_study(None, None, "s") as study:
            study.study.tell(ask(study), 1.0)
            assert numbers(study.trials) == [0]
        with open_study(None, None, "s") as again:
            assert again.trials == []
        assert list(tmp_path.iterdir()) == []

    def test_a_journal_leaves_no_lock_of_a_process_that_ended(self, tmp_path):
        with open_study(None, tmp_path / "deep" / "search", "s"):
            assert list((tmp_path / "deep" / "search" / "s.workers").glob("*.worker"))
        assert not list((tmp_path / "deep" / "search" / "s.workers").glob("*.worker"))

    def test_lets_an_error_through_and_closes(self, storage):
        def fails() -> None:
            with open_study(**storage) as study:
                ask(study)
                raise RuntimeError("mine")

        with pytest.raises(RuntimeError, match="mine"):
            fails()
        with open_study(**storage) as again:
            assert numbers(again.trials) == [0]

    @pytest.mark.parametrize(
        "url",
        ["nonsense", "sqlite:////no/such/folder/search.db", "nodatabase://host/x", "postgresql+nodriver://host/x", ""],
    )
    def test_a_bad_url_is_a_named_error(self, url):
        with pytest.raises(StorageError, match=r"cannot be opened .* Give --storage a URL"), open_study(url, None, "s"):
            pass

    def test_passwords_are_not_repeated(self):
        url = "nodatabase://me:geheim@host/x"
        with pytest.raises(StorageError, match=r"nodatabase://me:\*\*\*@host/x") as caught, open_study(url, None, "s"):
            pass
        assert "geheim" not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        ["nodatabase://me:ge@he/im@host/x", "nodatabase://host/x?user=me&password=geheim", "no://h/x?PWD=geheim&a=b"],
    )
    def test_nor_are_odd_ones(self, url):
        with pytest.raises(StorageError, match=r"\*\*\*") as caught, open_study(url, None, "s"):
            pass
        assert not any(part in str(caught.value) for part in ("geheim", "he/im", "ge@"))


class TestTornJournal:
    @pytest.mark.parametrize("tail", [b'{"op_code":4,"worker_id":"x', b"x" * 200_000, b"\xff\x00"])
    def test_a_last_line_that_is_not_whole_is_cut_off(self, tmp_path, tail):
        with open_study(None, tmp_path, "s") as study:
            study.study.tell(ask(study), 0.25)
        journal = tmp_path / "s.journal"
        whole = journal.read_bytes()
        journal.write_bytes(whole + tail)
        with open_study(None, tmp_path, "s") as again:
            assert [t.value for t in again.trials] == [0.25]
            again.study.tell(ask(again), 0.5)
        assert journal.read_bytes().startswith(whole)
        with open_study(None, tmp_path, "s") as third:
            assert [t.value for t in third.trials] == [0.25, 0.5]

    def test_a_whole_one_is_left_as_it_is(self, tmp_path):
        with open_study(None, tmp_path, "s") as study:
            study.study.tell(ask(study), 0.25)
        whole = (tmp_path / "s.journal").read_bytes()
        with open_study(None, tmp_path, "s"):
            pass
        assert (tmp_path / "s.journal").read_bytes()[: len(whole)] == whole

    def test_a_first_line_that_is_not_whole_leaves_a_new_study(self, tmp_path):
        (tmp_path / "s.journal").write_bytes(b'{"op')
        with open_study(None, tmp_path, "s") as study:
            assert study.trials == []

    def test_one_that_is_no_journal_is_a_named_error(self, tmp_path):
        (tmp_path / "s.journal").write_bytes(b"no journal\nat all\n")
        with pytest.raises(StorageError, match=r"s\.journal cannot be opened"), open_study(None, tmp_path, "s"):
            pass


def test_a_database_that_breaks_at_the_study_is_a_named_error(tmp_path, monkeypatch):
    def broken(**_chosen):
        raise RuntimeError("database is locked")

    monkeypatch.setattr(module.optuna, "create_study", broken)
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)  # for so long it is asked again
    url = f"sqlite:///{tmp_path / 'search.db'}"
    with (
        pytest.raises(StorageError, match=r"cannot be opened \(RuntimeError: database is locked"),
        open_study(url, None, "s"),
    ):
        pass


class Failing(optuna.storages.InMemoryStorage):
    """A storage whose connection is lost after so many calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.last = 0, float("inf")


def counted(name):
    def call(self, *args, **chosen):
        self.calls += 1
        if self.calls > self.last:
            raise ConnectionResetError("postgresql://me:geheim@host/x: the server closed the connection\nunexpectedly")
        return getattr(optuna.storages.InMemoryStorage, name)(self, *args, **chosen)

    return call


for _name, _what in vars(optuna.storages.BaseStorage).items():
    if callable(_what) and not _name.startswith("_"):
        setattr(Failing, _name, counted(_name))


class TestFailsInTheMiddle:
    def test_wherever_a_search_is_then_it_is_a_named_error(self, monkeypatch):
        def work(last):
            storage = Failing()
            opened = {"postgresql://me:geheim@host/x": storage}
            monkeypatch.setattr(optuna.storages, "get_storage", lambda given: opened.get(given, given))
            with open_study("postgresql://me:geheim@host/x", None, "s") as study:
                storage.calls, storage.last = 0, last
                study.beat()
                trial = ask(study)
                trial.report(0.5, 0)
                trial.set_user_attr("outcome", {})
                study.study.tell(trial, 0.5)
                assert numbers(study.trials) == [0]
                assert study.left_behind(3) == []
            return storage.calls

        calls = work(float("inf"))
        assert calls > 10
        for last in range(calls - 1):
            with pytest.raises(StorageError) as caught:
                work(last)
            assert str(caught.value).startswith(
                "the storage 'postgresql://me:***@host/x' failed in the middle (ConnectionResetError: "
                "postgresql://me:***@host/x: the server closed the connection). Finished trials are kept."
            )
            assert "run the same command again" in str(caught.value)
            assert isinstance(caught.value.__cause__, ConnectionResetError)

    def test_a_locked_database(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
        url = f"sqlite:///{tmp_path / 'search.db'}?timeout=0.01"
        with closing(sqlite3.connect(tmp_path / "search.db", isolation_level=None)) as other:
            with open_study(url, None, "s") as study:
                study.study.tell(ask(study), 0.25)
                left = ask(study)
                other.execute("BEGIN EXCLUSIVE")
                with pytest.raises(
                    StorageError, match=r"failed in the middle \(OperationalError: .*database is locked"
                ):
                    study.study.tell(left, 0.5)
                other.execute("ROLLBACK")
            with open_study(url, None, "s") as again:
                assert [trial.value for trial in again.trials] == [0.25, None]

    def test_a_database_that_is_locked_for_a_while_is_waited_for(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'search.db'}?timeout=0.01"
        with (
            closing(sqlite3.connect(tmp_path / "search.db", isolation_level=None, check_same_thread=False)) as other,
            open_study(url, None, "s") as study,
        ):
            trial = ask(study)
            other.execute("BEGIN EXCLUSIVE")
            timer = threading.Timer(1.0, other.execute, ["ROLLBACK"])
            timer.start()
            study.study.tell(trial, 0.5)
            timer.join()
            assert [trial.value for trial in study.trials] == [0.5]

    def test_processes_that_begin_at_once_share_one_database(self, tmp_path):
        """All make the tables, the study and trials at the same moment; each did fail with some of it before."""
        code = (
            "import sys, time\nfrom probes.search.storage import open_study\n"
            "while time.time() < float(sys.argv[2]):\n    time.sleep(0.001)\n"
            "with open_study(sys.argv[1], None, 's') as search:\n"
            "    for _ in range(5):\n"
            "        trial = search.study.ask()\n        search.claim(trial)\n"
            "        trial.set_user_attr('outcome', {})\n        search.study.tell(trial, 0.5)\n"
        )
        url, start = f"sqlite:///{tmp_path / 'search.db'}", time.time() + 5
        processes = [
            subprocess.Popen([sys.executable, "-c", code, url, str(start)], stderr=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        assert [process.communicate()[1] for process in processes] == [""] * 4
        with open_study(url, None, "s") as search:
            assert [trial.number for trial in search.trials] == list(range(20))
            assert {trial.value for trial in search.trials} == {0.5}
            assert len({trial.user_attrs["worker"] for trial in search.trials}) == 4

    def test_a_database_that_may_not_be_written(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'search.db'}"
        with open_study(url, None, "s") as study:
            study.study.tell(ask(study), 0.25)
            refuse_writing(tmp_path / "search.db")
            with pytest.raises(StorageError, match=r"failed in the middle \(.*attempt to write a readonly database\)"):
                study.study.ask()

    def test_a_full_disk_leaves_a_journal_that_others_go_on_with(self, tmp_path):
        with open_study(None, tmp_path, "s") as study, open_study(None, tmp_path, "s") as other:
            study.study.tell(ask(study), 0.25)
            journal = tmp_path / "s.journal"
            whole = journal.read_bytes()
            with room(len(whole) + 20), pytest.raises(StorageError, match=r"s\.journal failed in the middle \(OSError"):
                study.study.ask()
            assert journal.read_bytes() == whole
            other.study.tell(ask(other), 0.5)
        with open_study(None, tmp_path, "s") as again:
            assert [trial.value for trial in again.trials] == [0.25, 0.5]

    def test_a_lock_that_cannot_be_made(self, tmp_path, monkeypatch):
        def full(*_args, **_chosen):
            raise OSError(28, "No space left on device")

        with open_study(None, tmp_path, "s") as first, open_study(None, tmp_path, "s") as study:
            ask(first)
            with monkeypatch.context() as patch:
                patch.setattr(module.FileLock, "acquire", full)
                with pytest.raises(StorageError, match="No space left on device"), study.asking():
                    pass
                with pytest.raises(StorageError, match="No space left on device"):
                    study._is_gone(first.worker)

    def test_what_optuna_answers_through_it_is_none(self, storage):
        with open_study(**storage) as study:
            trial = ask(study)
            study.study.tell(trial, 0.25)
            with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
                trial.set_user_attr("outcome", {})


def refuse_writing(database):
    """Let every new trial fail, as a database does that may not be written: root may write any file."""
    with closing(sqlite3.connect(database)) as other:
        other.execute(
            "CREATE TRIGGER readonly BEFORE INSERT ON trials "
            "BEGIN SELECT RAISE(FAIL, 'attempt to write a readonly database'); END"
        )


@contextmanager
def room(size):
    """Let no file grow beyond ``size`` bytes, so that the last write to it is not whole."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be opened"), open_study(None, tmp_path / "file", "s"):
        pass


class TestLeftBehind:
    def test_trials_of_a_process_that_runs_are_left_to_it(self, storage):
        with open_study(**storage) as first, open_study(**storage) as second:
            ask(first)
            assert second.left_behind(5) == []

    def test_those_of_one_that_ended_are_taken_up(self, storage):
        with open_study(**storage) as first:
            done, left = ask(first), ask(first)
            first.study.tell(done, 1.0)
        with open_study(**storage) as second:
            (trial,) = second.left_behind(5)
            assert (trial.number, trial.params) == (1, left.params)
            second.claim(trial)
            second.study.tell(trial, 0.5)
            assert second.left_behind(5) == []

    def test_those_of_one_that_is_silent_for_long_are_gone_in_a_database(self, tmp_path, monkeypatch):
        url, now = f"sqlite:///{tmp_path / 'search.db'}", [1e9]
        monkeypatch.setattr(module.time, "time", lambda: now[0])
        with open_study(url, None, "s") as first, open_study(url, None, "s") as second:
            ask(first)
            now[0] += module.SILENT_SECONDS - 1
            assert second.left_behind(5) == []
            first.beat()
            now[0] += module.SILENT_SECONDS - 1
            assert second.left_behind(5) == []
            now[0] += 2
            assert numbers(second.left_behind(5)) == [0]

    def test_a_process_that_runs_gives_signs_of_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "BEAT_SECONDS", 0.001)
        beats, enough, beat = [], threading.Event(), SearchStudy.beat

        def counting(self):
            beats.append(self.worker)
            if len(beats) == 2:
                raise OSError("the database is busy")
            if len(beats) == 4:
                enough.set()
            beat(self)

        monkeypatch.setattr(SearchStudy, "beat", counting)
        with open_study(f"sqlite:///{tmp_path / 'search.db'}", None, "s") as study:
            assert enough.wait(60)
            assert study.study.user_attrs[f"beat:{study.worker}"] > 0

    def test_a_database_that_is_silent_at_the_end_is_not_waited_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "GOODBYE_SECONDS", 0.01)
        hung = threading.Event()
        monkeypatch.setattr(SearchStudy, "sign_off", lambda _: hung.wait(60))
        with open_study(f"sqlite:///{tmp_path / 'search.db'}", None, "s"):
            pass
        assert any(thread.name == module.BEATING for thread in threading.enumerate())
        hung.set()

    def test_one_that_was_never_claimed_is_taken_up_too(self, storage, monkeypatch):
        with open_study(**storage) as first:
            ask(first, claimed=False)
        with open_study(**storage) as second:
            if storage["storage"] is not None:
                assert second.left_behind(5) == []  # its process may be about to claim it
                monkeypatch.setattr(module, "CLAIM_SECONDS", -1.0)
            assert numbers(second.left_behind(5)) == [0]

    def test_ones_own_were_left_behind_by_an_error(self, storage):
        with open_study(**storage) as study:
            ask(study)
            assert numbers(study.left_behind(5)) == [0]

    def test_only_those_that_are_wanted(self, storage):
        with open_study(**storage) as study:
            for _ in range(4):
                ask(study)
            assert numbers(study.left_behind(2)) == [0, 1]

    def test_finished_ones_are_none_of_them(self, storage):
        with open_study(**storage) as study:
            for state in (TrialState.PRUNED, TrialState.FAIL):
                study.study.tell(ask(study), state=state)
            assert study.left_behind(5) == []


def test_one_process_asks_at_a_time_beside_a_journal(tmp_path):
    with open_study(None, tmp_path, "s") as study, study.asking():
        other = FileLock(tmp_path / "s.workers" / "asking")
        with pytest.raises(Timeout):
            other.acquire(timeout=0)
    other.acquire(timeout=0)
    other.release()
