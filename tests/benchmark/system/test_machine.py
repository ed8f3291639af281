import os
import socket

import pytest

from benchmark.encoders.base import Encoder
from benchmark.errors import UserError
from benchmark.jobs.provenance import versions
from benchmark.system.machine import device_of, hardware, threads_for, workers_of
from results.sections.inputs import HardwareSection


def test_an_encoder_of_numpy_arrays_is_on_the_cpu_whatever_is_asked(bands):
    assert device_of("cuda:3", bands.arrays) == "cpu"


def test_a_device_that_is_not_there_is_refused_with_what_to_do():
    with pytest.raises(UserError, match=r"'cuda:77' cannot be used.*--device cpu"):
        device_of("cuda:77")
    with pytest.raises(UserError, match=r"there is no device 'abacus'\. Give auto, cpu, cuda"):
        device_of("abacus")


def test_workers_are_one_a_core_unless_asked():
    assert workers_of(3) == 3
    assert workers_of(0) == 0
    assert 1 <= workers_of(None) <= min(os.cpu_count() or 1, 8)


def test_numpy_encoders_keep_to_one_thread(bands):
    from threadpoolctl import threadpool_info

    with threads_for(bands.arrays):
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} <= {1}

    class Torch(Encoder):
        arrays = "torch"

    before = [pool["num_threads"] for pool in threadpool_info()]
    with threads_for(Torch().arrays):
        assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_the_machine_is_described_and_not_named():
    found = HardwareSection(**hardware("cpu"))
    assert found.cores == os.cpu_count()
    assert found.memory_gb > 0
    assert socket.gethostname() not in found.model_dump_json()


def test_versions_name_what_shapes_the_numbers():
    assert {"python", "benchmark", "numpy", "torch", "optuna", "soxr", "audio"} <= set(versions())
