"""Embeddings in the place of an encoder: their name, fingerprint, and rows that are refused."""

import numpy as np
import pytest

from benchmark.encoders.precomputed.encoder import Precomputed, checked
from benchmark.encoders.registry import resolve_one
from benchmark.errors import UserError


@pytest.fixture
def write(tmp_path):
    def write(matrix, ids=None, name="theirs.npz"):
        ids = [f"t{i:03d}" for i in range(len(matrix))] if ids is None else ids
        np.savez(tmp_path / name, ids=np.array(ids, str), embeddings=matrix)
        return tmp_path / name

    return write


def random(n=30, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim))


class TestPrecomputed:
    def test_is_named_after_its_file(self, write, tmp_path):
        found = resolve_one(f"emb:{write(random())}", tmp_path)
        assert (found.name, found.dim, len(found.ids)) == ("theirs", 4, 30)
        assert resolve_one(f"emb:{write(random())}?name=musicnn", tmp_path).name == "musicnn"
        file = write(random())
        assert resolve_one(f"emb:{file}?name={file}", tmp_path).name == str(file)
        with pytest.raises(UserError, match="has no option 'layer': it takes name"):
            resolve_one(f"emb:{write(random())}?layer=3", tmp_path)

    def test_content_decides_the_fingerprint_and_the_place_does_not(self, write, tmp_path):
        first = Precomputed(write(random()))
        moved = Precomputed(write(random()).rename(tmp_path / "moved.npz"))
        assert first.fingerprint() == moved.fingerprint()
        assert first.version == first.fingerprint()[:12]
        assert Precomputed(write(random(seed=1))).fingerprint() != first.fingerprint()
        assert Precomputed(write(random(), ids=[f"u{i}" for i in range(30)])).fingerprint() != first.fingerprint()

    def test_ids_of_a_npy_are_content_too(self, tmp_path):
        np.save(tmp_path / "x.npy", random(2))
        prints = []
        for ids in ("a\nb\n", "b\na\n"):
            (tmp_path / "x.ids.txt").write_text(ids)
            prints.append(Precomputed(tmp_path / "x.npy").fingerprint())
        assert prints[0] != prints[1]

    def test_duplicate_ids_are_named(self, write):
        with pytest.raises(
            UserError, match=r"2 id\(s\) more than once; a track has one embedding: leave one row of each:\n  a\n  c$"
        ):
            Precomputed(write(random(5), ids=["a", "a", "b", "c", "c"]))

    def test_embeds_nothing(self, write):
        with pytest.raises(UserError, match="holds embeddings, not an encoder"):
            Precomputed(write(random())).embed(None)
        with pytest.raises(UserError, match="computes in fp32 only"):
            Precomputed(write(random())).with_precision("bf16")


class TestChecked:
    def test_a_key_tells_id_and_row(self, write):
        found = Precomputed(write(random()))
        ids = list(found.ids)
        keys = checked(found, ids)
        assert len(set(keys)) == 30
        assert checked(found, ids, block=7) == keys
        assert checked(found, ids[::-1]) == keys[::-1]
        assert checked(Precomputed(write(random(), ids=ids[::-1])), ids) != keys

    def test_another_type_of_the_same_numbers_is_the_same(self, write):
        single = random().astype(np.float16)
        keys = [checked(Precomputed(write(single.astype(kind))), ["t000", "t001"]) for kind in (np.float16, np.float64)]
        assert keys[0] == keys[1]

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ([1, np.nan, 2, 3], "are not finite"),
            ([1, -np.inf, 2, 3], "are not finite"),
            ([1, 1e39, 2, 3], "have numbers beyond float32"),
            ([0, 0, 0, 0], "are constant"),
            ([2.5, 2.5, 2.5, 2.5], "are constant"),
        ],
    )
    def test_rows_that_cannot_be_used_are_named(self, write, row, problem):
        matrix = random()
        matrix[[3, 17]] = row
        found = Precomputed(write(matrix))
        with pytest.raises(
            UserError, match=rf"2 of the 30 embeddings .* {problem}.*missing 2 [^\n]*:\n  t003\n  t017$"
        ):
            checked(found, found.ids)
        assert len(checked(found, [one for one in found.ids if one not in ("t003", "t017")])) == 28

    def test_many_are_listed_in_a_file(self, write, tmp_path):
        found = Precomputed(write(np.full((30, 4), np.nan)), home=tmp_path / "home")
        with pytest.raises(UserError, match=r"  t019\n  … and 10 more: all are listed in .*unusable-theirs.npz.txt"):
            checked(found, found.ids)
        listing = tmp_path / "home" / "unusable-theirs.npz.txt"
        assert listing.read_text().split() == list(found.ids)

    def test_one_row_for_all_is_refused(self, write):
        found = Precomputed(write(np.tile([1.0, 2.0], (30, 1))))
        with pytest.raises(UserError, match=r"all 30 embeddings .* are the same row"):
            checked(found, found.ids, block=4)
        assert len(checked(found, ["t000"])) == 1

    def test_one_dimension_is_not_constant(self, write):
        found = Precomputed(write(random(dim=1)))
        assert len(checked(found, found.ids)) == 30
