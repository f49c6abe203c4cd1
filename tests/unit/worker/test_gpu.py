"""The driver's library is faked at its edge: the calls that C would get."""

import ctypes
from typing import Any

from whisperdrop_worker.gpu import memory_reader

_SIZES = [(80, 30), (40, 10)]


class FakeNvml:
    """Two GPUs."""

    def __init__(self, devices: int = 2, status: int = 0) -> None:
        self._devices = devices
        self._status = status

    def nvmlInit_v2(self) -> int:  # noqa: N802 - its name
        return self._status

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._devices
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, device: Any) -> int:  # noqa: N802
        device._obj.value = index + 1
        return 0

    def nvmlDeviceGetMemoryInfo(self, device: ctypes.c_void_p, info: Any) -> int:  # noqa: N802
        found = info._obj
        found.total, found.used = _SIZES[(device.value or 0) - 1]
        found.free = found.total - found.used
        return 0


def loading(library: object) -> Any:
    def load(name: str) -> object:
        assert name == "libnvidia-ml.so.1"
        return library

    return load


def missing(name: str) -> ctypes.CDLL:
    raise OSError(f"{name}: cannot open shared object file")


def test_the_memory_of_all_gpus_is_added_up() -> None:
    read = memory_reader(loading(FakeNvml()))
    assert read is not None
    assert read() == {("used",): 40.0, ("total",): 120.0}


def test_without_a_driver_there_is_nothing_to_read() -> None:
    assert memory_reader(missing) is None
    assert memory_reader(loading(FakeNvml(status=9))) is None
    assert memory_reader(loading(FakeNvml(devices=0))) is None
    assert memory_reader(loading(object())) is None
