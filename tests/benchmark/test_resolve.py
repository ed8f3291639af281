"""Naming an encoder: built in, in a file, in a module; and errors that say what to write instead."""

import sys

import pytest

from benchmark.encoders.base import Encoder
from benchmark.encoders.logmel import LogMel
from benchmark.encoders.mfcc import Mfcc
from benchmark.encoders.resolve import BUILTIN, resolve, resolve_one
from benchmark.errors import UserError

ONE = "from benchmark import Encoder\n\n\nclass {cls}(Encoder):\n    name, sample_rate, dim = {name!r}, 16000, 1\n"


def plug_in(path, *classes: str, name: str = "mine") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(ONE.format(cls=cls, name=name) for cls in classes or ("Mine",)))
    return str(path)


class TestBuiltIn:
    @pytest.mark.parametrize("name", BUILTIN)
    def test_each_bears_its_name(self, name):
        assert resolve_one(name).name == name

    def test_a_typing_error_is_answered(self):
        with pytest.raises(UserError, match=r"no encoder is called 'logmell': did you mean 'logmel'\?"):
            resolve_one("logmell")

    def test_an_unknown_name_lists_what_there_is(self):
        with pytest.raises(UserError, match="built in are logmel, mfcc, chroma"):
            resolve_one("zzz")


class TestFiles:
    def test_the_only_class_needs_no_name(self, tmp_path):
        file = plug_in(tmp_path / "mine.py")
        assert type(resolve_one(file)).__name__ == "Mine"
        assert type(resolve_one(file + ":Mine")).__name__ == "Mine"

    @pytest.mark.parametrize("folder", ["with blank", "my.python", "a.py", "Ünï"])
    def test_any_folder_will_do(self, tmp_path, folder):
        file = plug_in(tmp_path / folder / "mine.py")
        assert resolve_one(file).name == "mine"
        assert resolve_one(file + ":Mine").name == "mine"

    def test_a_relative_path(self, tmp_path, monkeypatch):
        plug_in(tmp_path / "mine.py")
        monkeypatch.chdir(tmp_path)
        assert resolve_one("mine.py").name == resolve_one("./mine.py:Mine").name == "mine"

    def test_several_classes_must_be_chosen_from(self, tmp_path):
        file = plug_in(tmp_path / "mine.py", "One", "Two")
        assert type(resolve_one(file + ":Two")).__name__ == "Two"
        with pytest.raises(UserError, match=r"has 2 Encoder classes \(One, Two\): name one as .*mine.py:Class"):
            resolve_one(file)

    def test_an_imported_base_is_not_a_choice(self, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text("from benchmark.encoders.logmel import LogMel\n\n\nclass Mine(LogMel):\n    name = 'mine'\n")
        assert type(resolve_one(str(file))).__name__ == "Mine"

    def test_a_class_that_is_not_there(self, tmp_path):
        file = plug_in(tmp_path / "mine.py")
        with pytest.raises(UserError, match="there is no Encoder class 'Other'; it has Mine"):
            resolve_one(file + ":Other")

    @pytest.mark.parametrize("what", ["Encoding = 3", "class Encoding: pass", ""])
    def test_something_that_is_no_encoder(self, tmp_path, what):
        (tmp_path / "mine.py").write_text(what)
        with pytest.raises(UserError, match="no Encoder class 'Encoding'; it has none"):
            resolve_one(f"{tmp_path}/mine.py:Encoding")
        with pytest.raises(UserError, match="has 0 Encoder classes"):
            resolve_one(f"{tmp_path}/mine.py")

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(UserError, match=rf"no encoder file at {tmp_path}/mine.py"):
            resolve_one(f"{tmp_path}/mine.py:Mine")

    @pytest.mark.parametrize(
        ("code", "error"),
        [("1 / 0", "ZeroDivisionError"), ("import nowhere", "ModuleNotFound"), ("def", "SyntaxError")],
    )
    def test_a_file_that_fails(self, tmp_path, code, error):
        (tmp_path / "mine.py").write_text(code)
        with pytest.raises(UserError, match=f"mine.py fails to load: {error}"):
            resolve_one(f"{tmp_path}/mine.py")
        plug_in(tmp_path / "mine.py")
        assert resolve_one(f"{tmp_path}/mine.py").name == "mine"

    def test_an_encoder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "mine.py").write_text(
            ONE.format(cls="Mine", name="mine") + "    def __init__(self, needed): pass\n"
        )
        with pytest.raises(UserError, match=r"cannot be made: TypeError: .*needed"):
            resolve_one(f"{tmp_path}/mine.py")

    def test_two_files_of_one_name_are_two_encoders(self, tmp_path):
        files = [plug_in(tmp_path / folder / "mine.py", name=folder) for folder in ("a", "b")]
        one, two = resolve(files)
        assert (one.name, two.name) == ("a", "b")
        assert sys.modules[type(one).__module__].__file__ == files[0]

    def test_an_edited_file_is_read_again(self, tmp_path):
        file = plug_in(tmp_path / "mine.py", name="before")
        assert resolve_one(file).name == "before"
        plug_in(tmp_path / "mine.py", name="after!")
        assert resolve_one(file).name == "after!"


class TestModules:
    def test_a_class_in_a_module(self):
        assert isinstance(resolve_one("benchmark.encoders.mfcc:Mfcc"), Mfcc)
        assert isinstance(resolve_one("benchmark.encoders.mfcc:"), Mfcc)

    @pytest.mark.parametrize("name", ["nowhere.at.all:Mine", ":Mine", "..x:Mine"])
    def test_a_module_that_is_not_there(self, name):
        with pytest.raises(UserError, match="cannot import the encoder"):
            resolve_one(name)

    def test_a_module_that_fails(self, tmp_path, monkeypatch):
        (tmp_path / "failing_encoder_module.py").write_text("1 / 0")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(UserError, match="ZeroDivisionError"):
            resolve_one("failing_encoder_module:Mine")

    def test_a_class_that_is_not_there(self):
        with pytest.raises(UserError, match="no Encoder class 'Other'; it has Mfcc"):
            resolve_one("benchmark.encoders.mfcc:Other")


class TestSeveral:
    def test_names_objects_and_lists(self):
        mine = LogMel()
        assert [encoder.name for encoder in resolve("mfcc, chroma,logmel")] == ["mfcc", "chroma", "logmel"]
        assert resolve(mine) == [mine]
        found = resolve(["mfcc", mine])
        assert (found[0].name, found[1]) == ("mfcc", mine)

    def test_each_is_there_once(self):
        assert [encoder.name for encoder in resolve(["mfcc", "chroma,mfcc", Mfcc()])] == ["mfcc", "chroma"]

    def test_two_encoders_of_one_name_are_refused(self, tmp_path):
        file = plug_in(tmp_path / "mine.py", name="mfcc")
        with pytest.raises(UserError, match="two different encoders have the name 'mfcc': rename one of them"):
            resolve(["mfcc", file])

    @pytest.mark.parametrize("nothing", [[], "", " , "])
    def test_none_is_refused(self, nothing):
        with pytest.raises(UserError, match="no encoder was named"):
            resolve(nothing)

    def test_an_encoder_without_a_name_is_refused(self):
        class Nameless(Encoder):
            sample_rate, dim = 16000, 1

        with pytest.raises(UserError, match="Nameless does not declare name"):
            resolve(Nameless())

    def test_what_is_no_encoder_is_refused(self):
        with pytest.raises(UserError, match="3 is no encoder"):
            resolve([3])
        with pytest.raises(UserError, match="LogMel'> is no encoder"):
            resolve([LogMel])
