"""A limited run of a generated collection renders the items of its sample alone."""

from benchmark.jobs.items import prepare
from benchmark.jobs.options import Options
from benchmark.system.progress import Silent
from tasks import registry


def test_a_limited_run_renders_its_own_items(tmp_path, demo_home):
    (task,) = registry.find("demo_key")
    (few,) = prepare([task], Options(home=tmp_path, limit=12), Silent())
    assert sorted(path.name for path in tmp_path.rglob("*.flac")) == sorted(path.name for path in few.items.audio)
    assert all(path.is_file() for path in few.items.audio)
    (there,) = prepare([task], Options(home=demo_home, limit=12), Silent())
    assert few.items.track_ids == there.items.track_ids
    assert (few.fingerprint, few.whole.digest()) == (there.fingerprint, there.whole.digest())
    assert [path.read_bytes() for path in few.items.audio] == [path.read_bytes() for path in there.items.audio]


def test_no_audio_is_rendered_where_none_is_heard(tmp_path):
    (task,) = registry.find("demo_key")
    prepare([task], Options(home=tmp_path, limit=12), Silent(), audio=False)
    assert list(tmp_path.rglob("*.flac")) == []
