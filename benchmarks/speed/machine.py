"""Describe the machine on which the results are measured."""

from __future__ import annotations

import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import Any

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}  # flags of /proc/cpuinfo, the widest first


def describe(device: str) -> dict[str, Any]:
    """Return the date, processor, memory, device and system."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "device": device_name(device),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def processor() -> str:
    """Return the name of the processor and its widest vector instructions.

    Processors with different instruction sets may report the same name.
    """
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    names = re.findall(r"model name\s*:\s*(.*)", text)
    name = names[0] if names else platform.processor() or platform.machine()
    vectors = [known for flag, known in VECTORS.items() if re.search(rf"\b{flag}\b", text)]
    return f"{name}, {vectors[0]}" if vectors else name


def device_name(device: str) -> str:
    """Return the name of the GPU, or ``cpu``."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name(device)


def slug(description: dict[str, Any]) -> str:
    """Return a file name: the GPU, or the processor and its number of cores."""
    if description["device"] != "cpu":
        return _plain(description["device"])
    return f"{_plain(description['processor'])}-{description['cores']}-cores"


def _plain(name: str) -> str:
    name = re.sub(r"\(R\)|\(TM\)|processor|CPU|@", " ", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
