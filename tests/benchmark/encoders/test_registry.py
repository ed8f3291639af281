"""Naming an encoder: built in, in a file, in a module; and errors that say what to write instead."""

import sys

import pytest

from benchmark.encoders import registry as module
from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.logmel import LogMel
from benchmark.encoders.handcrafted.mfcc import Mfcc
from benchmark.encoders.registry import BUILTIN, format_kinds, resolve, resolve_one
from benchmark.errors import UserError

ONE = "from benchmark import Encoder\n\n\nclass {cls}(Encoder):\n    name, sample_rate, dim = {name!r}, 16000, 1\n"


def plug_in(path, *classes: str, name: str = "mine") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(ONE.format(cls=cls, name=name) for cls in classes or ("Mine",)))
    return str(path)


class TestBuiltIn:
    @pytest.mark.parametrize("name", ["logmel", "mfcc", "chroma"])
    def test_each_bears_its_name(self, name):
        assert resolve_one(name).name == name

    def test_one_whose_module_is_not_there_breaks_no_other(self, monkeypatch):
        monkeypatch.setattr(module, "BUILTIN", {**BUILTIN, "later": ("benchmark.encoders.later:Later", "")})
        assert resolve_one("logmel").name == "logmel"
        with pytest.raises(UserError, match="this version has no encoder 'later'"):
            resolve_one("later")

    def test_one_whose_package_is_not_there_says_which(self, monkeypatch, tmp_path):
        (tmp_path / "needing_a_package.py").write_text("import some_package_that_is_not_there.part\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(module, "BUILTIN", {"needing": ("needing_a_package:Mine", "")})
        with pytest.raises(UserError, match=r"'needing' needs the package 'some_package_that_is_not_there'"):
            resolve_one("needing")

    def test_a_function_that_opens_one_is_given_reference_and_home(self, monkeypatch, tmp_path):
        def open_it(reference, home):
            found = LogMel()
            found.name, found.where = reference.target, str(home)
            return found

        monkeypatch.setattr("benchmark.encoders.handcrafted.logmel.open_it", open_it, raising=False)
        monkeypatch.setattr(module, "BUILTIN", {"opened": ("benchmark.encoders.handcrafted.logmel:open_it", "")})
        assert resolve_one("opened", tmp_path).where == str(tmp_path)
        assert resolve_one("opened?layer=3&a=b", tmp_path).name == "opened?a=b&layer=3"

    def test_options_are_refused_where_there_are_none(self):
        with pytest.raises(UserError, match="the encoder 'logmel' has no option 'layer': leave it out, it takes none"):
            resolve_one("logmel?layer=7")
        with pytest.raises(UserError, match="'musicset-ularge' has no option 'layer'"):
            resolve_one("musicset-ularge?layer=7")

    def test_a_typing_error_is_answered(self):
        with pytest.raises(UserError, match=r"no encoder is called 'logmell': did you mean 'logmel'\?"):
            resolve_one("logmell")

    def test_an_unknown_name_says_where_the_names_are(self):
        with pytest.raises(
            UserError, match=r"no encoder is called 'zzz': it is no file either; 'bench encoders' lists"
        ):
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
        file.write_text(
            "from benchmark.encoders.handcrafted.logmel import LogMel\n\n\nclass Mine(LogMel):\n    name = 'mine'\n"
        )
        assert type(resolve_one(str(file))).__name__ == "Mine"

    def test_a_class_that_is_not_there(self, tmp_path):
        file = plug_in(tmp_path / "mine.py")
        with pytest.raises(UserError, match="there is no Encoder class 'Other': name one that it has: Mine"):
            resolve_one(file + ":Other")

    @pytest.mark.parametrize("what", ["Encoding = 3", "class Encoding: pass", ""])
    def test_something_that_is_no_encoder(self, tmp_path, what):
        (tmp_path / "mine.py").write_text(what)
        with pytest.raises(UserError, match="no Encoder class 'Encoding': name one that it has: none"):
            resolve_one(f"{tmp_path}/mine.py:Encoding")
        with pytest.raises(UserError, match="has 0 Encoder classes"):
            resolve_one(f"{tmp_path}/mine.py")

    def test_a_file_that_is_larger_than_any_source(self, tmp_path):
        (tmp_path / "mine.py").write_bytes(b"[]," * 700_000)
        with pytest.raises(
            UserError, match=r"mine.py fails to load.* has 2,100,000 bytes, and such a file may have 1,000,000"
        ):
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
            ONE.format(cls="Mine", name="mine") + "    def __init__(self, needed): 1 / int(needed)\n"
        )
        with pytest.raises(UserError, match=r"mine.py' needs needed: give --encoder-arg needed=\.\.\."):
            resolve_one(f"{tmp_path}/mine.py")
        with pytest.raises(UserError, match=r"cannot be made: ZeroDivisionError"):
            resolve_one(f"{tmp_path}/mine.py?needed=0")

    def test_two_classes_of_a_file_that_declare_the_same_never_share_embeddings(self, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text(
            ONE.format(cls="Mine", name="mine") + "\n\nclass More(Mine):\n    def embed(self, w): return 2\n"
        )
        one, two = resolve_one(f"{file}:Mine"), resolve_one(f"{file}:More")
        assert one.name == two.name
        assert one.fingerprint() != two.fingerprint()
        with pytest.raises(UserError, match="two different encoders have the name 'mine'"):
            resolve([f"{file}:Mine", f"{file}:More"])

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


class TestUnknown:
    def test_the_kinds_are_listed_with_an_example_each(self):
        for example in ("package.module:Class", "./file.py:Class", "emb:features.npz", "model.keras"):
            assert example in format_kinds()

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("LogMel", "logmel"),
            ("model.onnx", "onnx:model.onnx"),
            ("x/features.NPZ", "emb:x/features.NPZ"),
            ("scripted.pt", "torchscript:scripted.pt"),
            ("facebook/hubert-base-ls960", "hf:facebook/hubert-base-ls960"),
        ],
    )
    def test_what_was_probably_meant(self, text, meant):
        with pytest.raises(UserError, match=rf"no encoder is called '{text}': did you mean '{meant}'\?"):
            resolve_one(text)

    def test_a_folder_is_a_model_or_embeddings(self, tmp_path):
        with pytest.raises(UserError, match="did you mean 'emb:"):
            resolve_one(str(tmp_path))
        (tmp_path / "config.json").touch()
        with pytest.raises(UserError, match="did you mean 'hf:"):
            resolve_one(str(tmp_path))

    def test_a_file_without_its_ending(self, tmp_path):
        file = plug_in(tmp_path / "logmell.py")
        with pytest.raises(UserError, match=rf"did you mean '{file}'\?"):
            resolve_one(str(tmp_path / "logmell"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("HF:a/b", r"no kind of encoder 'HF:': did you mean 'hf:a/b'\?"),
            ("huggingface:a/b", r"no kind of encoder 'huggingface:'.*Write one of hf:.*'bench encoders' lists all"),
            ("onx:model", r"cannot import the encoder 'onx:model'.*did you mean 'onnx:model'\?"),
        ],
    )
    def test_a_mistyped_scheme(self, text, message):
        with pytest.raises(UserError, match=message):
            resolve_one(text)

    def test_a_kind_whose_module_is_not_there(self, monkeypatch):
        monkeypatch.setattr(module, "OPENERS", {**module.OPENERS, "hear": "benchmark.encoders.later:open_later"})
        with pytest.raises(UserError, match="this version cannot open 'hear:x': it has no encoders of the kind hear:"):
            resolve_one("hear:x")
        assert "hear:" not in module.format_kinds()


TAKING = (
    "from benchmark import Encoder\n\n\nclass Mine(Encoder):\n    name, sample_rate, dim = 'mine', 16000, 1\n\n"
    "    def __init__(self, size: str = 'small', n: int = 3):\n        print('made')\n        self.n = n\n"
)


class TestOptions:
    @pytest.fixture
    def file(self, tmp_path):
        (tmp_path / "mine.py").write_text(TAKING)
        return f"{tmp_path}/mine.py"

    def test_become_keyword_arguments(self, file):
        plain, one = resolve_one(file), resolve_one(f"{file}:Mine?n=7")
        assert (plain.name, plain.n) == ("mine", 3)
        assert (one.name, one.n) == ("mine?n=7", 7)

    def test_variants_stand_side_by_side(self, file):
        found = resolve([f"{file}?n=7", f"{file}?n=8", f"{file}?n=7"])
        assert [encoder.name for encoder in found] == ["mine?n=7", "mine?n=8"]
        assert found[0].fingerprint() != found[1].fingerprint()

    def test_arguments_are_for_all_that_are_named(self, file):
        assert [encoder.n for encoder in resolve([file, f"{file}?size=big"], arguments=["n=9"])] == [9, 9]
        assert resolve(file, arguments={"n": 9})[0].name == "mine?n=9"
        with pytest.raises(UserError, match="the encoder 'logmel' has no option 'n'"):
            resolve(["logmel", file], arguments=["n=9"])

    def test_a_value_with_a_comma_belongs_into_an_argument(self, file):
        with pytest.raises(UserError, match=r"is called '8'[\s\S]*A comma separates encoders: .*--encoder-arg K=V"):
            resolve(f"{file}?n=7,8")

    def test_an_object_takes_none(self):
        with pytest.raises(UserError, match="give an object its options when you make it"):
            resolve(LogMel(), arguments=["n=9"])

    def test_of_the_wrong_kind_are_refused(self, file):
        with pytest.raises(UserError, match=r"the option 'n' of the encoder .* is 'x': give a whole number"):
            resolve_one(f"{file}?n=x")
        with pytest.raises(UserError, match="has no option 'm': it takes n, size"):
            resolve_one(f"{file}?m=x")

    def test_an_edited_file_changes_the_fingerprint_of_a_variant_too(self, file, tmp_path):
        before = resolve_one(f"{file}?n=7").fingerprint()
        (tmp_path / "mine.py").write_text(TAKING + "# edited\n")
        assert resolve_one(f"{file}?n=7").fingerprint() != before

    def test_what_a_plug_in_prints_does_not_stand_among_the_results(self, file, capfd):
        resolve_one(file)
        assert "made" not in capfd.readouterr().out


class TestEntryPoints:
    @pytest.fixture
    def brought(self, tmp_path, monkeypatch):
        """Return a function that installs a package with entry points."""

        def install(package="brings_encoders", code=TAKING, **points):
            (tmp_path / f"{package}.py").write_text(code)
            info = tmp_path / f"{package}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            lines = "".join(f"{name} = {package}:{value}\n" for name, value in points.items())
            (info / "entry_points.txt").write_text(f"[benchmark.encoders]\n{lines}")
            monkeypatch.syspath_prepend(str(tmp_path))
            monkeypatch.delitem(sys.modules, package, raising=False)

        return install

    def test_are_found_by_name_and_only_then_imported(self, brought):
        brought(theirs="Mine")
        assert list(module.entry_points()) == ["theirs"]
        assert "brings_encoders" not in sys.modules
        assert resolve_one("theirs?n=5").n == 5
        with pytest.raises(UserError, match="did you mean 'theirs'"):
            resolve_one("their")

    def test_may_be_functions(self, brought):
        brought(code=TAKING + "\n\ndef make(n: int = 1):\n    return Mine(n=n)\n", made="make")
        assert resolve_one("made").n == 1
        assert resolve_one("made?n=5").name == "mine?n=5"

    def test_that_make_no_encoder_are_refused(self, brought):
        brought(code="three = 3\n\n\ndef make():\n    return 3\n", made="make", three="three")
        with pytest.raises(UserError, match="'made' makes 3, which is no encoder"):
            resolve_one("made")
        with pytest.raises(UserError, match="is 3: make it a class or a function"):
            resolve_one("three")

    def test_that_cannot_be_imported_are_named(self, brought):
        brought(code="1 / 0", theirs="Mine")
        with pytest.raises(UserError, match=r"'theirs' \(brings_encoders:Mine\) cannot be imported: ZeroDivisionError"):
            resolve_one("theirs")

    def test_take_no_built_in_name(self, brought):
        brought(logmel="Mine")
        assert "logmel" not in module.entry_points()
        assert isinstance(resolve_one("logmel"), LogMel)

    def test_of_one_name_are_refused(self, brought):
        brought(theirs="Mine")
        brought("brings_more", theirs="Mine")
        with pytest.raises(UserError, match="two installed packages bring an encoder 'theirs'"):
            resolve_one("theirs")
        assert resolve_one("brings_more:Mine").n == 3


class TestModules:
    def test_a_class_in_a_module(self):
        assert isinstance(resolve_one("benchmark.encoders.handcrafted.mfcc:Mfcc"), Mfcc)
        assert isinstance(resolve_one("benchmark.encoders.handcrafted.mfcc:"), Mfcc)

    @pytest.mark.parametrize("name", ["nowhere.at.all:Mine", ":Mine", "..x:Mine"])
    def test_a_module_that_is_not_there(self, name):
        with pytest.raises(UserError, match="cannot import the encoder"):
            resolve_one(name)

    def test_where_a_module_must_be_is_said_only_of_one_that_is_not_there(self, tmp_path, monkeypatch):
        (tmp_path / "importing_encoder_module.py").write_text("import nowhere_at_all")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(UserError, match="Install it, or run the command in the folder that holds it"):
            resolve_one("nowhere.at.all:Mine")
        with pytest.raises(
            UserError, match=r"No module named 'nowhere_at_all'. Mend the module importing_encoder_module$"
        ):
            resolve_one("importing_encoder_module:Mine")

    def test_a_module_that_fails(self, tmp_path, monkeypatch):
        (tmp_path / "failing_encoder_module.py").write_text("1 / 0")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(UserError, match="ZeroDivisionError"):
            resolve_one("failing_encoder_module:Mine")

    def test_a_class_that_is_not_there(self):
        with pytest.raises(UserError, match="no Encoder class 'Other': name one that it has: Mfcc"):
            resolve_one("benchmark.encoders.handcrafted.mfcc:Other")


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
