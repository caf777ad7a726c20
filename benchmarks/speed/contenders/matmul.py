"""Product of two large square matrices in float32: the limit of the roofline."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.speed.contenders import Answer, Evaluate, Frame, versions_of

SIDE = {"cpu": 2048, "cuda": 8192}


def versions() -> dict[str, str]:
    return versions_of("torch")


def operations(device: str) -> float:
    """Return the number of operations of one product."""
    return 2.0 * SIDE[device] ** 3


def convert(checkpoint: Path, folder: Path) -> Path:
    return checkpoint


def prepare(model: Path, device: str) -> Evaluate:
    import torch

    side = SIDE[device]
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator).to(device) for _ in range(2))
    out = torch.empty_like(a)

    def evaluate(frame: Frame) -> Answer:
        torch.mm(a, b, out=out)
        return Answer(0.0, np.zeros((0, 3)), np.zeros((3, 3)))

    return evaluate
