"""How full the GPUs are, as their driver says it.

CTranslate2 does not tell. The driver's own library does (NVML, what ``nvidia-smi`` calls), and it
is there wherever CUDA works, so no package is needed to ask it.
Reference: NVML API, nvmlDeviceGetMemoryInfo.
"""

import ctypes
from collections.abc import Callable, Mapping

_LIBRARY = "libnvidia-ml.so.1"
_OK = 0

Memory = Mapping[tuple[str, ...], float]
"""Bytes by ``used`` and ``total``."""


class _MemoryInfo(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def memory_reader(
    load: Callable[[str], ctypes.CDLL] = ctypes.CDLL,
) -> Callable[[], Memory] | None:
    """Reads the memory of all GPUs together; None where there is no driver or no GPU."""
    try:
        nvml = load(_LIBRARY)
        if nvml.nvmlInit_v2() != _OK:
            return None
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _OK or not count.value:
            return None
    except (OSError, AttributeError):
        return None
    devices = []
    for index in range(count.value):
        device = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == _OK:
            devices.append(device)

    def read() -> Memory:
        used = total = 0
        for device in devices:
            info = _MemoryInfo()
            if nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(info)) == _OK:
                used += info.used
                total += info.total
        return {("used",): float(used), ("total",): float(total)}

    return read
