"""Taking apart the text that names an encoder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.encoders.spec import PLAIN, SCHEMES, parse, parse_arguments, split, with_paths
from benchmark.errors import UserError

KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(blacklist_characters="&", blacklist_categories=("Cs",)), max_size=8)


def parts(text, **arguments):
    found = parse(text, arguments)
    return found.kind, found.target, found.revision, found.weights, dict(found.options)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("logmel", ("name", "logmel", None, None, {})),
            ("musicnn-msd?layer=penultimate", ("name", "musicnn-msd", None, None, {"layer": "penultimate"})),
            ("some.package:Mine", ("class", "some.package:Mine", None, None, {})),
            ("some.package:Mine?n=3", ("class", "some.package:Mine", None, None, {"n": "3"})),
            ("./mine.py", ("file", "./mine.py", None, None, {})),
            ("a b, c/mine.py:Mine", ("file", "a b, c/mine.py:Mine", None, None, {})),
            ("mine.py:Mine?size=small&n=3", ("file", "mine.py:Mine", None, None, {"size": "small", "n": "3"})),
            ("x/model.keras", ("keras", "x/model.keras", None, None, {})),
            ("hear:naive", ("hear", "naive", None, None, {})),
            ("hear:pkg.naive@weights/a@b.pt", ("hear", "pkg.naive", None, "weights/a@b.pt", {})),
            ("hf:m-a-p/MERT-v1-95M", ("hf", "m-a-p/MERT-v1-95M", None, None, {})),
            (
                "hf:m-a-p/MERT-v1-95M@0e10b04?layer=7&remote_code=1&pool=mean",
                (
                    "hf", "m-a-p/MERT-v1-95M", "0e10b04", None,
                    {"layer": "7", "remote_code": "1", "pool": "mean"},
                ),
            ),
            ("hf:a/b@refs/pr/3", ("hf", "a/b", "refs/pr/3", None, {})),
            ("onnx:m o.onnx?sample_rate=16000", ("onnx", "m o.onnx", None, None, {"sample_rate": "16000"})),
            ("onnx:a@b.onnx", ("onnx", "a@b.onnx", None, None, {})),
            ("torchscript:m.pt?window=", ("torchscript", "m.pt", None, None, {"window": ""})),
            ("emb:folder", ("emb", "folder", None, None, {})),
            ("pretrained:runs/mine@2000", ("pretrained", "runs/mine", "2000", None, {})),
            ("what?.py?n=a?b=c", ("file", "what?.py", None, None, {"n": "a?b=c"})),
            ("env:.venv/bin/python::m.py:A?n=3", ("env", ".venv/bin/python", None, None, {"n": "3"})),
            ("env:C:/x/python.exe::hf:a/b@main?layer=7", ("env", "C:/x/python.exe", None, None, {"layer": "7"})),
        ],
    )  # fmt: skip
    def test_each_kind(self, text, expected):
        assert parts(text) == expected

    @pytest.mark.parametrize("text", [example for example, _ in (*PLAIN.values(), *SCHEMES.values())])
    def test_the_examples_are_of_the_kind_that_they_show(self, text):
        kind = parse(text).kind
        assert (PLAIN | SCHEMES)[kind][0] == text

    @given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
    def test_a_query_gives_back_its_options(self, options):
        query = "&".join(f"{key}={value}" for key, value in options.items())
        assert parts(f"logmel?{query}") == ("name", "logmel", None, None, options)

    def test_a_folder_that_exists_may_hold_an_at_or_a_question_mark(self, tmp_path):
        for name in ("model@home", "which?layer=7"):
            (tmp_path / name).mkdir()
            assert parts(f"hf:{tmp_path / name}") == ("hf", str(tmp_path / name), None, None, {})
        assert parts(f"hf:{tmp_path}/model@home@main")[1:3] == (f"{tmp_path}/model@home", "main")

    @pytest.mark.parametrize("text", ["logmel?", "logmel?layer", "logmel?layer=1&", "logmel?1=2", "mine.py?a-b=2"])
    def test_what_is_no_query_is_refused(self, text):
        with pytest.raises(
            UserError, match=r"is not KEY=VALUE&KEY2=VALUE2: write it such as (logmel|mine.py)\?layer=7"
        ):
            parse(text)

    @pytest.mark.parametrize("text", ["hf:", "emb: ", "onnx:?sample_rate=1"])
    def test_a_scheme_without_a_target_is_refused(self, text):
        with pytest.raises(UserError, match=r"nothing follows '\w+:' in .*write for instance"):
            parse(text)

    @pytest.mark.parametrize(("text", "what"), [("hf:a/b@", "revision"), ("hear:naive@", "weights")])
    def test_an_at_without_anything_is_refused(self, text, what):
        with pytest.raises(UserError, match=rf"nothing follows the @ .*name the {what}"):
            parse(text)


class TestArguments:
    def test_are_added_to_those_of_the_text(self):
        assert parts("logmel?a=1", b="2", a="1")[4] == {"a": "1", "b": "2"}

    def test_neither_wins_over_the_other(self):
        with pytest.raises(UserError, match=r"'logmel\?a=1' has a=1, but --encoder-arg says a=2: leave one out"):
            parse("logmel?a=1", {"a": "2"})
        with pytest.raises(UserError, match="says a=1 and a=2"):
            parse("logmel?a=1&a=2")
        with pytest.raises(UserError, match="--encoder-arg says a=1 and a=2"):
            parse_arguments(["a=1", "a=2"])

    def test_are_taken_literally(self):
        assert parse_arguments(["a=b=c&d,e?", "f="]) == {"a": "b=c&d,e?", "f": ""}
        assert parse_arguments("a=1") == {"a": "1"}

    def test_from_python_they_are_values(self):
        given = {"n": 3, "x": 0.5, "on": True, "sizes": (1, 2), "file": Path("a/b"), "none": None}
        expected = {"n": "3", "x": "0.5", "on": "true", "sizes": "1,2", "file": "a/b", "none": "none"}
        assert parse_arguments(given) == expected

    @pytest.mark.parametrize("wrong", ["layer", "=3", "a-b=3", "1a=3", ""])
    def test_what_is_none_is_refused(self, wrong):
        with pytest.raises(UserError, match="is not KEY=VALUE"):
            parse_arguments([wrong])
        with pytest.raises(UserError, match="cannot be the name of an encoder's option"):
            parse_arguments({wrong.partition("=")[0] + "-": 1})

    def test_options_are_checked_and_converted(self):
        found = parse("hf:a/b?layer=7&remote_code=1")
        found.check_options(("layer", "remote_code", "pool"))
        assert (found.option("layer", int), found.option("remote_code", bool)) == (7, True)
        assert found.option("pool", str, "mean") == "mean"
        with pytest.raises(UserError, match=r"'hf:a/b' has no option 'layer': did you mean 'layers'\? It takes layers"):
            found.check_options(("layers",))
        with pytest.raises(UserError, match="the option 'layer' of the encoder 'hf:a/b' is 'x': give a whole number"):
            parse("hf:a/b?layer=x").option("layer", int)


class TestSplit:
    def test_commas_separate(self):
        assert split("mfcc, hf:a/b?layer=7 ,,emb:x.npz") == ["mfcc", "hf:a/b?layer=7", "emb:x.npz"]
        assert split("logmel?a=1&b=2") == ["logmel?a=1&b=2"]
        assert split(" , ") == split("") == []

    def test_commas_of_a_query_separate_too(self, tmp_path):
        (tmp_path / "a, b.py").touch()
        assert split(f"{tmp_path}/a, b.py?n=1, logmel,mfcc") == [f"{tmp_path}/a, b.py?n=1", "logmel", "mfcc"]

    @pytest.mark.parametrize(
        "text",
        ["{}/a, b.py", "{}/a, b.py:Mine", "{}/a, b.py?n=1", "onnx:{}/a, b.py", "emb:{}?name=x", "hf:{}@main?layer=1",
         "hear:naive@{}/a, b.py"],
    )  # fmt: skip
    def test_a_path_that_is_there_is_not_split(self, tmp_path, text):
        folder = tmp_path / "x, y"
        folder.mkdir()
        (folder / "a, b.py").touch()
        assert split(text.format(folder)) == [text.format(folder)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logmel", "name<logmel>"),
        ("mine.py:Mean?weights=w.pt&x=1", "file<mine.py>:Mean?weights=[w.pt]&x=[1]"),
        ("onnx:onnx?sample_rate=8000", "onnx:onnx<onnx>?sample_rate=[8000]"),
        ("hf:hf@main", "hf:hf<hf>@main"),
        ("hear:some.module@/x/w.pt", "hear:hear<some.module>@[/x/w.pt]"),
        ("pretrained:runs/a@500", "pretrained:pretrained<runs/a>@500"),
    ],
)
def test_paths_of_a_text_are_changed_and_nothing_else(text, expected):
    assert with_paths(text, lambda kind, target: f"{kind}<{target}>", lambda value: f"[{value}]") == expected


class TestEnvironments:
    def test_what_stands_behind_the_colons_is_for_the_other_side(self):
        spec = parse("env:old::hf:a/b@refs/pr/3?layer=7", {"pool": "max"})
        assert (spec.target, spec.inner, dict(spec.options)) == (
            "old",
            "hf:a/b@refs/pr/3",
            {"layer": "7", "pool": "max"},
        )

    @pytest.mark.parametrize(
        "text", ["env:", "env:old", "env:old:mine.py", "env:old::", "env:::mine.py", "env: ::a.py"]
    )
    def test_a_part_that_lacks_is_named(self, text):
        with pytest.raises(UserError, match=r"is missing in .*: write for instance env:.*::"):
            parse(text)

    def test_several_in_one_text(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert split("logmel,env:a::m.py:A?n=3,env:b::x:Y,mfcc") == [
            "logmel", "env:a::m.py:A?n=3", "env:b::x:Y", "mfcc",
        ]  # fmt: skip
        assert split("env:a::m.py:A,env:b::x:Y") == ["env:a::m.py:A", "env:b::x:Y"]

    def test_paths_that_exist_may_hold_commas_and_question_marks(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a,b").mkdir()
        (tmp_path / "c,d?e=1.py").touch()
        assert split("env:a,b::c,d?e=1.py") == ["env:a,b::c,d?e=1.py"]
        assert split("env:a,b::x.py,mfcc") == ["env:a,b::x.py", "mfcc"]
        assert parse("env:a,b::c,d?e=1.py").inner == "c,d?e=1.py"

    def test_paths_change_on_both_sides(self):
        def of_target(kind, target):
            return f"<{kind} {target}>"

        changed = with_paths("env:p/y::m/x.py:A?w=a/b", of_target, lambda value: f"[{value}]")
        assert changed == "env:<env p/y>::<file m/x.py>:A?w=[a/b]"
