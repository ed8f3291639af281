import threading

import pytest

from benchmark.embeddings.prefetch import prefetched


class Source:
    """Makes numbers, and remembers how far it came and whether it was closed."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.count, self.error = count, error
        self.made: list[int] = []
        self.two = threading.Event()
        self.closed = False

    def __call__(self, stopped: threading.Event):
        try:
            for i in range(self.count):
                if stopped.is_set():
                    return
                self.made.append(i)
                if len(self.made) == 2:
                    self.two.set()
                yield i
            if self.error:
                raise self.error
        finally:
            self.closed = True


def test_all_items_in_order():
    source = Source(50)
    with prefetched(source) as ahead:
        assert list(ahead) == list(range(50))
    assert source.closed


def test_nothing():
    with prefetched(Source(0)) as ahead:
        assert list(ahead) == []


def test_one_item_is_made_ahead_and_no_more():
    source = Source(50)
    with prefetched(source) as ahead:
        assert next(ahead) == 0
        assert source.two.wait(10)
        assert source.made == [0, 1]
        assert next(ahead) == 1
    assert len(source.made) <= 3


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_an_error_comes_after_the_items_before_it(error):
    source, found = Source(3, error), []

    def use():
        with prefetched(source) as ahead:
            for item in ahead:
                found.append(item)

    with pytest.raises(type(error)):
        use()
    assert found == [0, 1, 2]
    assert source.closed


def test_an_error_of_the_user_ends_the_source():
    source = Source(10**9)

    def use():
        with prefetched(source) as ahead:
            for item in ahead:
                if item == 5:
                    raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        use()
    assert source.closed
    assert len(source.made) <= 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("next-group")]


def test_a_source_that_is_never_asked():
    source = Source(10**9)
    with prefetched(source):
        pass
    assert len(source.made) <= 1
