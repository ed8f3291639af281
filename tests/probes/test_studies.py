import threading

import optuna
import pytest
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from probes import studies as module
from probes.studies import SearchStudy, StorageError, open_study


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
    url = f"sqlite:///{tmp_path / 'search.db'}"
    with (
        pytest.raises(StorageError, match=r"cannot be opened \(RuntimeError: database is locked"),
        open_study(url, None, "s"),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be opened"), open_study(None, tmp_path / "file", "s"):
        pass


class TestLeftBehind:
    def test_trials_of_a_process_that_runs_are_left_to_it(self, storage):
        with open_study(**storage) as first, open_study(**storage) as second:
            ask(first)
            assert second.left_behind(5) == []

    def test_those_of_one_that_ended_are_taken_up(self, storage, monkeypatch):
        with open_study(**storage) as first:
            done, left = ask(first), ask(first)
            first.study.tell(done, 1.0)
        monkeypatch.setattr(module, "SILENT_SECONDS", -1.0)  # in a database only silence says so
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
            assert f"beat:{study.worker}" in study.study.user_attrs

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
