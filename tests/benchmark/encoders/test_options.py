"""Options of encoders: texts to values, and variants whose records and embeddings never meet."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from benchmark.encoders.base import Encoder
from benchmark.encoders.options import as_variant, constructor_options, convert
from benchmark.errors import UserError


class TestConvert:
    @pytest.mark.parametrize(
        ("text", "kind", "value"),
        [
            ("3", int, 3),
            ("-1e3", float, -1000.0),
            ("inf", float, float("inf")),
            ("True", bool, True),
            ("off", bool, False),
            (" a b ", str, " a b "),
            ("a/b", Path, Path("a/b")),
            ("1, 2", tuple[int, ...], (1, 2)),
            ("1,x", tuple[int, str], (1, "x")),
            ("1,2", list[float], [1.0, 2.0]),
            ("a,b", tuple, ("a", "b")),
            ("", tuple[int, ...], ()),
            ("none", int | None, None),
            ("4", int | None, 4),
            ("x", int | str, "x"),
            ("4", str | int, 4),
            ("small", Literal["small", "large"], "small"),
            ("2", Literal[1, 2], 2),
        ],
    )
    def test_by_the_annotation(self, text, kind, value):
        found = convert(text, kind, "it")
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        ("text", "kind", "words"),
        [
            ("3.5", int, "a whole number"),
            ("x", float, "a number"),
            ("nan", float, "a number"),
            ("2", bool, "true or false"),
            ("1,x", tuple[int, ...], "any number of a whole number, separated by commas"),
            ("1", tuple[int, int], "2 of a whole number, separated by commas"),
            ("x", int | None, "a whole number or none"),
            ("medium", Literal["small", "large"], "one of small, large"),
        ],
    )
    def test_what_is_none_is_refused_with_what_would_be(self, text, kind, words):
        with pytest.raises(UserError, match=f"^it is '{text}': give {words}$"):
            convert(text, kind, "it")


class Mine(Encoder):
    """With options."""

    name, version, sample_rate, dim, arrays = "mine", "1", 16000, 2, "numpy"

    def __init__(self, size: str = "small", layers: int = 3, weights: Path | None = None, plain=0.5) -> None:
        self.size, self.layers_used, self.weights, self.plain = size, layers, weights, plain

    def embed(self, waveforms):
        return np.full((len(waveforms), 2), self.layers_used, np.float32)


class TestConstructorOptions:
    def test_are_of_the_annotated_type_or_that_of_the_default(self):
        found = constructor_options(Mine, {"size": "1", "layers": "7", "weights": "w.pt", "plain": "2"}, "mine")
        assert found == {"size": "1", "layers": 7, "weights": Path("w.pt"), "plain": 2.0}

    def test_one_that_it_does_not_take_is_refused_with_those_that_it_takes(self):
        with pytest.raises(UserError, match=r"no option 'layer': did you mean 'layers'\? It takes layers, plain, size"):
            constructor_options(Mine, {"layer": "7"}, "mine")

    def test_one_without_options_says_so(self):
        class Plain(Encoder):
            name, sample_rate, dim = "plain", 16000, 1

        with pytest.raises(UserError, match="has no option 'n': leave it out, it takes none"):
            constructor_options(Plain, {"n": "7"}, "plain")

    def test_keyword_arguments_take_anything_as_text(self):
        def make(n: int, **others):
            raise AssertionError

        assert constructor_options(make, {"n": "7", "m": "8"}, "it") == {"n": 7, "m": "8"}


class TestVariant:
    def test_name_and_fingerprint_tell_the_options(self):
        plain = Mine()
        one, same, other = (as_variant(Mine(layers=n), {"size": "small", "layers": n}) for n in (3, 3, 4))
        assert one.name == "mine?layers=3&size=small"
        assert one.fingerprint() == same.fingerprint()
        assert len({each.fingerprint() for each in (plain, one, other)}) == 3
        assert isinstance(one, Mine)
        assert one.__doc__ == Mine.__doc__
        assert plain.name == Mine.name == "mine"

    def test_a_fingerprint_of_ones_own_that_forgets_the_options_is_no_danger(self):
        class Forgetful(Mine):
            def fingerprint(self):
                return "always the same"

        one, other = (as_variant(Forgetful(layers=n), {"layers": n}) for n in (3, 4))
        assert one.fingerprint() != other.fingerprint()

    def test_a_file_counts_by_its_content_and_is_named_without_its_folder(self, tmp_path):
        found = []
        for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
            file = tmp_path / folder / "w.pt"
            file.parent.mkdir()
            file.write_bytes(content)
            found.append(as_variant(Mine(), {"weights": file}))
        assert {each.name for each in found} == {"mine?weights=w.pt"}
        assert found[0].fingerprint() == found[1].fingerprint() != found[2].fingerprint()

    def test_a_name_that_the_class_makes_itself_stays(self):
        class Named(Mine):
            def __init__(self, size: str = "small") -> None:
                super().__init__(size)
                self.name = f"mine-{size}"

        class Nameless(Encoder):
            sample_rate, dim = 16000, 1

            def __init__(self, size: str, told: bool = True) -> None:
                self.name = f"from-{size}" if told else "from-somewhere"

        assert as_variant(Named("big"), {"size": "big"}).name == "mine-big"
        assert as_variant(Nameless("big"), {"size": "big"}).name == "from-big"
        assert as_variant(Nameless("big", told=False), {"size": "big"}).name == "from-somewhere?size=big"

    def test_a_name_that_cannot_be_set_is_refused(self):
        class Fixed(Mine):
            name = property(lambda self: "fixed")

        with pytest.raises(UserError, match="the name of Fixed cannot be set: include layers"):
            as_variant(Fixed(), {"layers": 3})

    def test_another_precision_of_a_variant_is_a_variant_still(self):
        one = as_variant(Mine(layers=4), {"layers": 4})
        assert one.with_precision("fp32").fingerprint() == one.fingerprint()
