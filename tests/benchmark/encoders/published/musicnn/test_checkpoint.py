"""TensorFlow checkpoints: what is whole is read to the last bit, and what is damaged or hostile is refused."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[3]))

from tensor_bundles import Bundle, block_of, entry_of, field_of, table, varint

from benchmark.encoders.published.musicnn.checkpoint import LARGEST_INDEX, crc32c, masked, read_checkpoint
from benchmark.errors import UserError


def every(name: str) -> bool:
    return True


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    shapes = {"conv2d/kernel": (3, 2, 1, 4), "conv2d/bias": (4,), "conv2d_1/kernel": (2, 3), "dense/kernel/Adam": (5,)}
    found = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {**found, "beta1_power": np.float32(0.9).reshape(())}


@pytest.fixture
def place(tmp_path):
    return tmp_path / "checkpoint.index", tmp_path / "checkpoint.data"


def refused(place, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        read_checkpoint(*place, every)
    assert str(place[0]) in str(caught.value)


class TestWhole:
    @pytest.mark.parametrize("per_block", [1, 2, 100])
    def test_every_bit_comes_back(self, tensors, place, per_block):
        Bundle(tensors, per_block).write(*place)
        found = read_checkpoint(*place, every)
        assert list(found) == sorted(tensors)
        for name, array in tensors.items():
            assert found[name].dtype == np.float32
            assert found[name].shape == array.shape
            assert found[name].tobytes() == array.tobytes()

    def test_only_what_is_wanted_is_read_and_checked(self, tensors, place):
        Bundle(tensors, changed={"dense/kernel/Adam": {"checksum": 1}}).write(*place)
        found = read_checkpoint(*place, lambda name: name.startswith("conv2d_1"))
        assert list(found) == ["conv2d_1/kernel"]
        refused(place, "checksum of dense/kernel/Adam")

    def test_the_checksum_is_castagnolis(self):
        assert crc32c(b"123456789") == 0xE3069283
        assert crc32c(b"") == 0
        assert masked(0) == 0xA282EAD8


class TestDamaged:
    def test_missing_files(self, tensors, place):
        refused(place, "No such file")
        Bundle(tensors).write(*place)
        place[1].unlink()
        refused(place, "No such file")

    @pytest.mark.parametrize("content", [b"", b"x" * 47, b"<html>" * 100, bytes(5000)])
    def test_another_kind_of_file(self, place, content):
        place[0].write_bytes(content)
        refused(place, "does not end as one does")

    def test_too_large_an_index(self, place):
        with place[0].open("wb") as file:
            file.truncate(LARGEST_INDEX + 1)
        refused(place, "none of a model")

    def test_every_cut_of_the_index_is_refused(self, tensors, place):
        Bundle(tensors).write(*place)
        whole = place[0].read_bytes()
        for length in range(0, len(whole), 7):
            place[0].write_bytes(whole[:length])
            refused(place, "not a whole TensorFlow checkpoint")

    def test_every_cut_of_the_data_is_refused(self, tensors, place):
        Bundle(tensors).write(*place)
        whole = place[1].read_bytes()
        for length in range(len(whole)):
            place[1].write_bytes(whole[:length])
            refused(place, "cut short|beyond the end")

    def test_every_changed_byte_of_the_data_is_refused(self, tensors, place):
        Bundle(tensors).write(*place)
        whole = place[1].read_bytes()
        for at in range(0, len(whole), 3):
            place[1].write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
            refused(place, "checksum of")

    def test_a_changed_byte_of_the_index_is_refused_or_changes_nothing(self, tensors, place):
        Bundle(tensors).write(*place)
        whole = place[0].read_bytes()
        for at in range(len(whole)):
            place[0].write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
            try:
                found = read_checkpoint(*place, every)
            except UserError:
                continue
            assert {name: array.tobytes() for name, array in found.items()} == {
                name: array.tobytes() for name, array in tensors.items()
            }

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=200))
    def test_any_block_with_a_right_checksum_is_read_or_refused(self, tmp_path, content):
        index, data = tmp_path / "i", tmp_path / "d"
        body = content + b"\0" + struct.pack("<I", masked(crc32c(content + b"\0")))
        handle = varint(0) + varint(len(content))
        index.write_bytes(body + (handle + handle).ljust(40, b"\0") + table([])[-8:])
        data.write_bytes(b"")
        with pytest.raises(UserError):
            read_checkpoint(index, data, every)


class TestHostile:
    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"shape": (4, 4)}, r"shape \[4, 4\], but 16 bytes"),
            ({"shape": (2**40, 2**40)}, "bytes"),
            ({"shape": (0,)}, "dimension without a size"),
            ({"size": 2**62}, "cut short"),
            ({"size": 2**62, "shape": (2**60,)}, "cut short"),
            ({"offset": 2**62}, "beyond the end"),
            ({"dtype": 2}, "not float32"),
            ({"shard": 1}, "another shard"),
            ({"more": field_of(7, b"slice")}, "field 7"),
            ({"more": varint(9 << 3 | 3)}, "unknown kind 3"),
            ({"more": b"\xff" * 11}, "no end"),
            ({"checksum": 0}, "checksum of conv2d/bias"),
        ],
    )
    def test_an_entry_that_lies(self, tensors, place, change, match):
        Bundle(tensors, changed={"conv2d/bias": change}).write(*place)
        refused(place, match)

    @pytest.mark.parametrize("header", [b"", field_of(1, 2), field_of(1, 1) + field_of(2, 1)])
    def test_another_header(self, tensors, place, header):
        Bundle(tensors, header=header).write(*place)
        refused(place, "one little-endian shard")

    def test_tensors_that_share_their_bytes_again_and_again(self, place):
        place[1].write_bytes(b"\0" * 64)
        entry = entry_of((16,), 0, 64, masked(crc32c(b"\0" * 64)))
        names = [b"", b"a", b"b"]
        place[0].write_bytes(table(list(zip(names, [field_of(1, 1), entry, entry], strict=True))))
        refused(place, "cut short")

    def test_names_out_of_order_or_twice(self, place):
        place[1].write_bytes(b"")
        entry = entry_of((1,), 0, 4, 0)
        for names in ([b"", b"b", b"a"], [b"", b"a", b"a"], [b"", b""]):
            pairs = list(zip(names, [field_of(1, 1), entry, entry], strict=False))
            place[0].write_bytes(table(pairs))
            refused(place, "not in order")

    def test_a_name_that_is_not_text(self, place):
        place[1].write_bytes(b"")
        place[0].write_bytes(table([(b"", field_of(1, 1)), (b"\xff\xfe", entry_of((1,), 0, 4, 0))]))
        refused(place, "not text")

    def test_an_empty_table(self, place):
        place[1].write_bytes(b"")
        place[0].write_bytes(table([]))
        refused(place, "index is empty")

    def test_a_block_of_more_restarts_than_bytes_or_a_name_longer_than_the_last(self, place):
        place[1].write_bytes(b"")
        for content, match in (
            (struct.pack("<I", 2**31), "more restarts"),
            (varint(9) + varint(1) + varint(0) + b"a" + struct.pack("<II", 0, 1), "more bytes than the one before"),
            (varint(0) + varint(90) + varint(0) + b"a" + struct.pack("<II", 0, 1), "longer than what is left"),
        ):
            body = content + b"\0" + struct.pack("<I", masked(crc32c(content + b"\0")))
            handle = varint(0) + varint(len(content))
            place[0].write_bytes(body + (handle + handle).ljust(40, b"\0") + table([])[-8:])
            refused(place, match)

    def test_a_compressed_block(self, place):
        place[1].write_bytes(b"")
        content = block_of([])
        body = content + b"\1" + struct.pack("<I", masked(crc32c(content + b"\1")))
        handle = varint(0) + varint(len(content))
        place[0].write_bytes(body + (handle + handle).ljust(40, b"\0") + table([])[-8:])
        refused(place, "compressed")
