import gc
import threading
import weakref
from concurrent.futures import CancelledError
from contextlib import closing

import pytest
import torch

from probes.training.concurrency import ThreadBudget, run_concurrently

WAIT = 20  # seconds until a test that hangs fails


def numbered(count: int):
    return [lambda budget, i=i: i * 10 for i in range(count)]


class TestAtOnce:
    @pytest.mark.parametrize("slots", [1, 2, 3, 8])
    @pytest.mark.parametrize("count", [0, 1, 2, 7])
    def test_gives_every_result_with_its_index(self, slots, count):
        assert sorted(run_concurrently(numbered(count), [1.0] * count, slots)) == [(i, i * 10) for i in range(count)]

    def test_one_lane_keeps_the_order_and_the_thread(self):
        works = [lambda budget: threading.get_ident()] * 3
        assert list(run_concurrently(works, [1.0, 3.0, 2.0], 1)) == [(i, threading.get_ident()) for i in range(3)]

    def test_works_in_slots_really_run_at_once(self):
        """Each waits for the other: in turn they would never end."""
        meeting = threading.Barrier(3, timeout=WAIT)
        works = [lambda budget: meeting.wait() >= 0] * 3
        assert [found for _, found in run_concurrently(works, [1.0] * 3, 3)] == [True] * 3

    def test_no_more_than_slots_at_a_time(self):
        busy, most, lock = [0], [0], threading.Lock()

        def work(budget: ThreadBudget) -> None:
            with lock:
                busy[0] += 1
                most[0] = max(most[0], busy[0])
            threading.Event().wait(0.01)
            with lock:
                busy[0] -= 1

        list(run_concurrently([work] * 9, [1.0] * 9, 2))
        assert most[0] <= 2

    def test_the_dearest_begin_first(self):
        begun, first_two = [], threading.Barrier(2, timeout=WAIT)

        def work(i: int) -> None:
            begun.append(i)
            if i in (1, 3):
                first_two.wait()

        list(run_concurrently([lambda budget, i=i: work(i) for i in range(4)], [1.0, 9.0, 2.0, 5.0], 2))
        assert set(begun[:2]) == {1, 3}
        assert sorted(begun) == [0, 1, 2, 3]

    @pytest.mark.parametrize("slots", [1, 2])
    def test_one_that_fails_ends_all(self, slots):
        begun = []

        def fail(budget: ThreadBudget) -> None:
            raise ZeroDivisionError("here")

        def follow(budget: ThreadBudget) -> None:
            begun.append(1)
            while True:  # until the budget is stopped
                budget.check()

        works = [fail, *[follow] * 5]
        with pytest.raises(ZeroDivisionError, match="here"):
            list(run_concurrently(works, [9.0, *[1.0] * 5], slots))
        assert len(begun) < 5

    def test_closing_early_ends_what_runs(self):
        ended = threading.Event()

        def endless(budget: ThreadBudget) -> None:
            try:
                while True:
                    budget.check()
            except CancelledError:
                ended.set()
                raise

        with closing(run_concurrently([lambda budget: 1, endless], [1.0, 2.0], 2)) as done:
            assert next(done) == (0, 1)
        assert ended.wait(WAIT)

    def test_an_interruption_of_the_loop_ends_what_runs(self):
        def interrupted() -> None:
            with closing(
                run_concurrently([lambda budget: 1, *[lambda budget: _until_stopped(budget)] * 3], [9.0, 1, 1, 1], 2)
            ) as done:
                for _ in done:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("slot")]

    @pytest.mark.parametrize("slots", [1, 3])
    def test_holds_on_to_no_result(self, slots):
        """Results may be trainings that do not all fit into memory."""

        class Large:
            pass

        seen: list[weakref.ref[Large]] = []
        with closing(run_concurrently([lambda budget: Large()] * 12, [1.0] * 12, slots)) as done:
            for _, found in done:
                seen.append(weakref.ref(found))
                del found
                gc.collect()
                assert sum(each() is not None for each in seen) <= 1
        assert len(seen) == 12

    def test_torch_keeps_its_threads(self):
        before = torch.get_num_threads()
        list(run_concurrently([lambda budget: torch.set_num_threads(1)] * 3, [1.0] * 3, 2))
        assert torch.get_num_threads() == before


def _until_stopped(budget: ThreadBudget) -> None:
    while True:
        budget.check()


class TestCrew:
    def test_threads_are_shared_by_those_that_run(self):
        budget, shares = ThreadBudget(8), []
        budget.run(lambda _: shares.append(budget.share()))
        budget.run(lambda _: budget.run(lambda _: shares.append(budget.share())))
        budget.run(lambda _: shares.append(budget.share()))
        assert shares == [8, 4, 8]

    def test_everyone_has_one_thread_at_least(self):
        budget, shares = ThreadBudget(1), []
        budget.run(lambda _: budget.run(lambda _: shares.append(budget.share())))
        assert (shares, ThreadBudget(3).share()) == ([1], 3)

    def test_a_failure_gives_its_threads_back(self):
        budget = ThreadBudget(4)
        with pytest.raises(ZeroDivisionError):
            budget.run(lambda _: 1 / 0)
        assert budget.run(lambda budget: budget.share()) == 4

    def test_a_stopped_one_begins_nothing(self):
        budget, begun = ThreadBudget(2), []
        budget.check()
        budget.stop()
        with pytest.raises(CancelledError):
            budget.run(lambda _: begun.append(1))
        assert not begun
