"""Which files hold an ONNX model's weights is read of its external_data entries, and of nothing else."""

import hashlib
import os
import time

import numpy as np
import pytest

from benchmark.encoders.packaged import onnx_files
from benchmark.encoders.packaged.onnx_files import files_of_weights
from benchmark.encoders.packaged.onnx_model import _digest
from benchmark.errors import UserError

onnx = pytest.importorskip("onnx", reason="needs onnx, of the extra [dev]")
from onnx import TensorProto, helper  # noqa: E402


def tensor(location, name="w", external=True):
    made = helper.make_tensor(name, TensorProto.FLOAT, [2], np.ones(2, np.float32))
    if location is not None:
        made.ClearField("float_data")
        for key, value in (("offset", "0"), ("location", location), ("length", "8")):
            entry = made.external_data.add()
            entry.key, entry.value = key, value
        if external:
            made.data_location = TensorProto.EXTERNAL
    return made


def graph(*initializers, nodes=(), name="graph"):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    return helper.make_graph(list(nodes), name, [x], [], list(initializers))


def write(folder, made, name="net.onnx", **more):
    (folder / name).write_bytes(helper.make_model(made, **more).SerializeToString())
    return folder / name


def sparse(location):
    made = onnx.SparseTensorProto()
    made.values.CopyFrom(tensor(location))
    made.indices.CopyFrom(tensor("indices.bin"))
    return made


def node(**attributes):
    return helper.make_node("If", ["x"], ["y"], **attributes)


PLACES = {
    "a weight": lambda: graph(tensor("w.bin")),
    "one of several": lambda: graph(tensor(None, "a"), tensor("w.bin", "b"), tensor("w.bin", "c")),
    "an attribute": lambda: graph(nodes=[node(value=tensor("w.bin"))]),
    "a list of an attribute": lambda: graph(nodes=[node(values=[tensor(None), tensor("w.bin")])]),
    "a branch": lambda: graph(nodes=[node(then_branch=graph(nodes=[node(body=graph(tensor("w.bin")))]))]),
    "a list of graphs": lambda: graph(nodes=[node(graphs=[graph(), graph(tensor("w.bin"))])]),
}


class TestFound:
    @pytest.mark.parametrize("place", PLACES)
    def test_wherever_a_tensor_can_be(self, tmp_path, place):
        (tmp_path / "w.bin").write_bytes(bytes(8))
        assert files_of_weights(write(tmp_path, PLACES[place]())) == [tmp_path / "w.bin"]

    def test_sparse_weights_functions_and_training(self, tmp_path):
        for name in ("s.bin", "indices.bin", "f.bin", "t.bin"):
            (tmp_path / name).write_bytes(bytes(8))
        made = graph()
        made.sparse_initializer.append(sparse("s.bin"))
        model = helper.make_model(made)
        model.functions.append(
            helper.make_function("d", "f", [], [], [node(value=tensor("f.bin"))], [helper.make_opsetid("", 18)])
        )
        model.training_info.add().algorithm.CopyFrom(graph(tensor("t.bin")))
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        found = [path.name for path in files_of_weights(tmp_path / "net.onnx")]
        assert found == ["f.bin", "indices.bin", "s.bin", "t.bin"]

    def test_below_and_with_dots(self, tmp_path):
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "w.bin").write_bytes(bytes(8))
        made = graph(tensor("./deep//w.bin", "a"), tensor("deep/w.bin", "b"))
        assert files_of_weights(write(tmp_path, made)) == [tmp_path / "deep" / "w.bin"]

    def test_fields_that_nobody_knows_are_stepped_over(self, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(8))
        file = write(tmp_path, graph(tensor("w.bin")))
        # Of numbers 90 to 93: a whole number, eight bytes, four bytes, a group that holds the number 1.
        odd = b"\xd0\x05\x01" + b"\xd9\x05" + bytes(8) + b"\xe5\x05" + bytes(4) + b"\xeb\x05\x08\x01\xec\x05"
        file.write_bytes(odd + file.read_bytes())
        assert files_of_weights(file) == [tmp_path / "w.bin"]


class TestNoOthers:
    def test_a_neighbour_whose_name_is_in_the_bytes(self, tmp_path):
        file = write(tmp_path, graph(tensor(None)))
        alone = _digest(file)
        for name in ("x", "graph", "If", "w"):
            (tmp_path / name).write_text("notes")
        assert files_of_weights(file) == []
        assert _digest(file) == alone == hashlib.sha256(file.read_bytes()).hexdigest()

    def test_entries_of_a_tensor_that_holds_its_data_itself(self, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(8))
        assert files_of_weights(write(tmp_path, graph(tensor("w.bin", external=False)))) == []

    def test_a_model_in_onnxruntimes_own_format(self, tmp_path):
        (tmp_path / "net.ort").write_bytes(b"\x10\0\0\0ORTM" + bytes(100))
        assert files_of_weights(tmp_path / "net.ort") == []

    def test_neighbours_are_not_looked_at(self, tmp_path, monkeypatch):
        """2,000 of them took 29 s for 64 MB."""
        (tmp_path / "w.bin").write_bytes(bytes(8))
        file = write(tmp_path, graph(tensor("w.bin")))
        monkeypatch.setattr("pathlib.Path.rglob", lambda *_: pytest.fail("it was searched"))
        monkeypatch.setattr("pathlib.Path.iterdir", lambda *_: pytest.fail("it was searched"))
        monkeypatch.setattr(os, "scandir", lambda *_: pytest.fail("it was searched"))
        assert files_of_weights(file) == [tmp_path / "w.bin"]


class TestRefused:
    @pytest.mark.parametrize(
        "location",
        ["../w.bin", "deep/../../w.bin", "/etc/passwd", "C:/w.bin", "C:w.bin", "..\\w.bin", "", ".", "a\0b",
         "\\\\host\\share"],
    )  # fmt: skip
    def test_a_location_outside_the_folder(self, tmp_path, location):
        (tmp_path / "models").mkdir()
        (tmp_path / "w.bin").write_bytes(bytes(8))
        file = write(tmp_path / "models", graph(tensor(location)))
        with pytest.raises(UserError, match="outside its folder, and is not opened"):
            files_of_weights(file)

    def test_one_that_is_not_there(self, tmp_path):
        (tmp_path / "folder.bin").mkdir()
        for name in ("w.bin", "folder.bin", "*/_ORT_MEM_ADDR_/*"):
            with pytest.raises(UserError, match=r"keeps weights in .*, which is not there"):
                files_of_weights(write(tmp_path, graph(tensor(name))))


class TestDamaged:
    @pytest.mark.parametrize(
        "content", [b"", b"<html>", b"\0" * 64, b"\xff" * 64, b"\x3a\x7f", b"\x3a\xff\xff\xff\x0f"]
    )
    def test_what_is_no_model_names_nothing(self, tmp_path, content):
        (tmp_path / "net.onnx").write_bytes(content)
        assert files_of_weights(tmp_path / "net.onnx") == []

    def test_graphs_in_each_other_without_end(self, tmp_path):
        data = b""
        for _ in range(20_000):  # an attribute's graph in a node in a graph
            for field in (6, 5, 1):
                size = len(data)
                length = b""
                while size > 0x7F:
                    length += bytes([size & 0x7F | 0x80])
                    size >>= 7
                data = bytes([field << 3 | 2]) + length + bytes([size]) + data
            if len(data) > 300_000:
                break
        (tmp_path / "net.onnx").write_bytes(b"\x3a" + data[1:])
        started = time.process_time()
        assert files_of_weights(tmp_path / "net.onnx") == []
        assert time.process_time() - started < 20

    def test_every_cut_and_every_flip_ends_in_an_answer(self, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(8))
        whole = write(tmp_path, PLACES["a branch"]()).read_bytes()
        other = tmp_path / "other.onnx"
        for at in range(len(whole)):
            for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]):
                other.write_bytes(content)
                try:
                    files_of_weights(other)
                except UserError:
                    continue


def test_what_it_follows_is_what_the_schema_says():
    """The numbers of the fields, held against the package onnx."""
    names = {
        "model": onnx.ModelProto, "training": onnx.TrainingInfoProto, "function": onnx.FunctionProto,
        "graph": onnx.GraphProto, "node": onnx.NodeProto, "attribute": onnx.AttributeProto,
        "sparse": onnx.SparseTensorProto, "tensor": onnx.TensorProto,
    }  # fmt: skip
    kinds = {made.DESCRIPTOR.name: ours for ours, made in names.items()}
    for ours, made in names.items():
        inside = {
            field.number: kinds[field.message_type.name]
            for field in made.DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.name in kinds
        }
        assert inside == onnx_files.INSIDE.get(ours, {}), ours
    fields = TensorProto.DESCRIPTOR.fields_by_name
    assert (fields["external_data"].number, fields["data_location"].number) == (13, 14)
    assert TensorProto.EXTERNAL == onnx_files.EXTERNAL
