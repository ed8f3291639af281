"""Weights from the hub: one commit, checked, resumed, allowed once, and without a network afterwards."""

import hashlib
import json
import socket

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.encoders.cards import hub as module
from benchmark.encoders.cards.fetched import place_of
from benchmark.encoders.registry import cards_here, resolve_one
from benchmark.errors import UserError
from tasks.errors import TaskError
from tests.benchmark.encoders.cards.conftest import COMMIT, OTHER


@pytest.fixture
def bench(capfd, home):
    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["encoders", *map(str, arguments)])
        out, err = capfd.readouterr()
        return caught.value.code, out, err

    return run


def named(home, name="tiny"):
    return cards_here(home)[name]


def fetched(home, name="tiny", commit=None):
    return module.download(named(home, name), module.plan_of(named(home, name), commit), home)


def without_network(monkeypatch):
    def refused(*_):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refused)


class TestFetch:
    def test_a_named_encoder_is_fetched_once_and_runs_without_a_network(
        self, bench, hub, tiny, home, write_card, monkeypatch
    ):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny)
        code, out, err = bench("fetch", "tiny")
        assert (code, out.strip()) == (0, f"tiny: weights in {home / 'encoders' / 'tiny' / COMMIT}")
        assert "licence" in err
        assert {path.name for path in (home / "encoders" / "tiny" / COMMIT).iterdir()} == {
            "config.json", "preprocessor_config.json", "model.safetensors", "LICENSE",
        }  # fmt: skip
        asked = len(hub.asked)
        without_network(monkeypatch)
        assert bench("fetch", "tiny")[0] == 0
        encoder = resolve_one("tiny", home)
        assert (encoder.name, encoder.version, encoder.window_seconds) == ("tiny", COMMIT[:12], 0.5)
        assert encoder.embed(torch_noise(encoder)).shape == (2, 16)
        assert len(hub.asked) == asked
        plain = resolve_one(f"hf:{tiny}?window=0.5", home)
        assert encoder.fingerprint() == plain.fingerprint()

    def test_weights_are_to_fetch_and_then_here(self, bench, hub, tiny, write_card):
        write_card(licence={"weights": "CC0-1.0"})
        hub.add("somebody/tiny", COMMIT, tiny)
        assert "tiny                CC0-1.0" in bench()[1]
        assert [row["ready"] for row in json.loads(bench("--json")[1]) if row["name"] == "tiny"] == [False]
        assert "Fetch them: bench encoders fetch tiny" in bench("tiny")[1]
        bench("fetch", "tiny")
        assert [row["ready"] for row in json.loads(bench("--json")[1]) if row["name"] == "tiny"] == [True]
        code, out, _ = bench("tiny")
        assert code == 0
        assert "Card: Tiny HuBERT" in out
        assert "fingerprint:" in out

    def test_without_weights_the_run_names_the_command(self, home, write_card):
        write_card()
        with pytest.raises(UserError, match=r"'tiny' has no weights yet. Fetch them with: bench encoders fetch tiny"):
            resolve_one("tiny", home)

    def test_a_download_that_was_cut_continues(self, hub, tiny, home, write_card, monkeypatch):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny)
        size = (tiny / "model.safetensors").stat().st_size
        half, plan = size // 2, module.plan_of(named(home))

        class StopError(Exception):
            pass

        def stop(done, total):
            if done > half + sum(file.size for file in plan.files if file.name != "model.safetensors"):
                raise StopError

        monkeypatch.setattr("tasks.sources.http.CHUNK", 1000)
        with pytest.raises(StopError):
            module.download(named(home), plan, home, stop)
        part = home / "encoders" / "tiny" / COMMIT / "model.safetensors.part"
        here = part.stat().st_size
        assert 0 < here < size
        with pytest.raises(UserError, match="no weights yet"):
            resolve_one("tiny", home)
        hub.asked.clear()
        module.download(named(home), plan, home)
        ranges = [span for method, path, span, _ in hub.asked if path.endswith(".safetensors") and method == "GET"]
        assert ranges == [f"bytes={here}-"]
        assert resolve_one("tiny", home).dim == 16

    def test_a_connection_that_breaks_off_is_taken_up(self, hub, tiny, home, write_card):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny).cut["model.safetensors"] = 5000
        assert fetched(home).fetched.commit == COMMIT
        assert [span for _, path, span, _ in hub.asked if path.endswith(".safetensors")][-1] == "bytes=5000-"

    def test_without_a_commit_that_of_today_is_noted_and_kept(self, hub, tiny, home, write_card):
        write_card(opens="hf:somebody/tiny")
        hub.add("somebody/tiny", OTHER, tiny)
        assert fetched(home).fetched.commit == OTHER
        hub.add("somebody/tiny", COMMIT, tiny)  # main has moved
        assert module.fetched_already(named(home), home).fetched.commit == OTHER
        assert resolve_one("tiny", home).version == OTHER[:12]


class TestCode:
    @pytest.fixture
    def card(self, hub, remote, write_card):
        hub.add("somebody/remote", COMMIT, remote)
        return write_card("coded", opens=f"hf:somebody/remote@{COMMIT}?remote_code=1")

    def test_code_is_asked_about_once_and_refused_without_an_answer(self, bench, card, home, monkeypatch):
        code, out, err = bench("fetch", "coded")
        assert (code, out) == (2, "")
        assert "runs code that comes with it (modeling_tiny.py; https://huggingface.co/somebody/remote/tree/" in err
        assert "if you trust it: bench encoders fetch coded --yes" in err
        assert not (home / "encoders" / "coded" / COMMIT).exists()
        assert bench("fetch", "coded", "--yes")[0] == 0
        assert bench("fetch", "coded")[0] == 0  # not asked again
        encoder = resolve_one("coded", home)
        assert (encoder.name, encoder.embed(torch_noise(encoder)).shape) == ("coded", (2, 16))

    @pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 2)])
    def test_a_person_is_asked(self, bench, card, monkeypatch, answer, code):
        asked = []
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("typer.confirm", lambda question, err: asked.append(question) or answer)
        assert bench("fetch", "coded")[0] == code
        assert len(asked) == 1
        assert "it is code, not data" in asked[0]

    def test_code_that_is_not_what_was_allowed_is_never_run(self, card, home):
        place = fetched(home, "coded")
        file = place.files / "modeling_tiny.py"
        state = file.stat()
        content = file.read_text()
        file.write_text(content.replace("tiny_cards", "tiny_cardz"))
        import os

        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # of the same size and time
        with pytest.raises(UserError, match=r"modeling_tiny.py is not what was fetched: its sha256 is"):
            resolve_one("coded", home)

    def test_the_user_cannot_switch_it(self, card, home):
        fetched(home, "coded")
        with pytest.raises(UserError, match="is said by its card"):
            resolve_one("coded?remote_code=0", home)

    def test_a_card_that_says_there_is_code_where_there_is_none(self, hub, tiny, home, write_card):
        write_card(opens=f"hf:somebody/tiny@{COMMIT}?remote_code=1")
        hub.add("somebody/tiny", COMMIT, tiny)
        with pytest.raises(UserError, match=r"says that somebody/tiny comes with code, and its commit .* has none"):
            fetched(home)

    def test_code_that_the_card_does_not_mention_is_not_even_fetched(self, hub, remote, home, write_card):
        write_card(opens=f"hf:somebody/remote@{COMMIT}")
        hub.add("somebody/remote", COMMIT, remote)
        place = fetched(home)
        assert not list(place.files.glob("*.py"))
        with pytest.raises(UserError, match=r"needs code that comes with it .*tiny.toml"):
            resolve_one("tiny", home)


class TestWrong:
    def test_a_commit_that_there_is_not(self, hub, tiny, home, write_card):
        write_card(opens=f"hf:somebody/tiny@{OTHER}", unverified=["opens"])
        hub.add("somebody/tiny", COMMIT, tiny)
        with pytest.raises(
            UserError, match=f"somebody/tiny has no commit {OTHER}, which its card calls unverified.* --commit COMMIT"
        ):
            fetched(home)
        assert fetched(home, commit=COMMIT).fetched.by_hand
        assert resolve_one("tiny", home).version == COMMIT[:12]
        with pytest.raises(UserError, match="is no full commit: give all of its 40 hex digits"):
            fetched(home, commit=COMMIT[:12])

    def test_a_gated_model_without_a_token(self, hub, tiny, home, write_card, monkeypatch):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny, gated=True)
        with pytest.raises(UserError, match=r"is gated: .*Accept them at https://huggingface.co/somebody/tiny, log in"):
            fetched(home)
        monkeypatch.setenv("HF_TOKEN", "hf_accepted")
        assert fetched(home).fetched.commit == COMMIT

    def test_a_model_that_there_is_not(self, hub, home, write_card):
        write_card()
        with pytest.raises(UserError, match="the hub has no model somebody/tiny, or it is private"):
            fetched(home)

    def test_no_network_and_offline_name_the_way(self, hub, home, write_card, monkeypatch):
        write_card()
        hub.close()
        with pytest.raises(UserError, match=r"the hub cannot be reached.*hf download somebody/tiny --revision 0123"):
            fetched(home)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
            fetched(home)

    def test_another_file_under_the_name_of_the_weights(self, hub, tiny, home, write_card):
        digest = hashlib.sha256((tiny / "model.safetensors").read_bytes()).hexdigest()
        write_card(weights={"file": "model.safetensors", "sha256": "a" * 64})
        hub.add("somebody/tiny", COMMIT, tiny)
        with pytest.raises(
            UserError, match=f"is another file than the card .*: its sha256 is {digest} on the hub, and a"
        ):
            fetched(home)
        write_card(weights={"file": "other.bin"})
        with pytest.raises(UserError, match=r"has no file other.bin at the commit"):
            fetched(home)

    def test_bytes_that_are_not_what_the_hub_names(self, hub, tiny, home, write_card):
        write_card()
        model = hub.add("somebody/tiny", COMMIT, tiny)
        content = (tiny / "model.safetensors").read_bytes()
        model.sent["model.safetensors"] = content[:-1] + bytes([content[-1] ^ 1])
        with pytest.raises(TaskError, match="wrong sha256"):
            fetched(home)
        model.sent.clear()
        small = (tiny / "preprocessor_config.json").read_bytes()
        model.sent["preprocessor_config.json"] = small.replace(b"16000", b"24000", 1)
        with pytest.raises(
            UserError, match=r"sent another file than it names for preprocessor_config.json: git's digest"
        ):
            fetched(home)
        assert place_of(named(home).card, home).fetched is None

    def test_a_file_that_lies_there_already_is_looked_at(self, hub, tiny, home, write_card):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny)
        file = home / "encoders" / "tiny" / COMMIT / "model.safetensors"
        file.parent.mkdir(parents=True)
        file.write_bytes((tiny / "model.safetensors").read_bytes()[:-10])
        with pytest.raises(UserError, match=r"is another file: wrong size.*Delete it"):
            fetched(home)
        file.unlink()
        assert fetched(home).fetched is not None

    @pytest.mark.parametrize("content", [b"short", None])
    def test_files_that_changed_since_are_named(self, hub, tiny, home, write_card, content):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny)
        file = fetched(home).files / "model.safetensors"
        good = file.read_bytes()
        file.write_bytes(content or good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(UserError, match=r"model.safetensors is not what was fetched: .*bench encoders fetch tiny"):
            resolve_one("tiny", home)
        file.write_bytes(good)
        assert resolve_one("tiny", home).dim == 16  # of another time, with the bytes that were fetched

    def test_a_card_that_moved_to_another_commit(self, hub, tiny, home, write_card):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny)
        fetched(home)
        write_card(opens=f"hf:somebody/tiny@{OTHER}")
        with pytest.raises(
            UserError, match=f"names somebody/tiny at {OTHER}, but somebody/tiny at {COMMIT} was fetched"
        ):
            resolve_one("tiny", home)

    def test_a_note_that_cannot_be_read(self, hub, tiny, home, write_card):
        write_card()
        hub.add("somebody/tiny", COMMIT, tiny)
        fetched(home)
        (home / "encoders" / "tiny" / "fetched.json").write_text("{")
        with pytest.raises(UserError, match="does not say what was fetched"):
            resolve_one("tiny", home)

    def test_a_commit_without_weights(self, hub, tmp_path, home, write_card):
        write_card()
        (tmp_path / "config.json").write_text("{}")
        hub.add("somebody/tiny", COMMIT, tmp_path)
        with pytest.raises(UserError, match="has no weights that transformers reads"):
            fetched(home)

    def test_nothing_to_fetch(self, bench, write_card):
        for name, message in (
            ("muq", "runs in an environment of its own"),
            ("logmel", "nothing to fetch for 'logmel'"),
        ):
            code, _, err = bench("fetch", name)
            assert code == 2
            assert message in err
        code, _, err = bench("fetch", "musicnn-msd", "--commit", COMMIT)
        assert (code, "leave --commit out" in err) == (2, True)


def torch_noise(encoder):
    import torch

    rng = np.random.default_rng(0)
    return torch.from_numpy(0.3 * rng.normal(size=(2, 1, encoder.sample_rate // 2)).astype(np.float32))
