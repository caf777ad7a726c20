"""Random rotations as a function of a seed and a counter.

No generator has a state: a run that is continued with the right counter draws the same rotations as
one without interruption, and Python, TorchScript and LAMMPS draw the same. The numbers come from
SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), in the wrapping arithmetic of int64 tensors.
"""

import math

import torch
from torch import Tensor


def haar_rotations(seed: int, counter: int, n: int) -> Tensor:
    """Return ``n`` independent rotations [n, 3, 3], float64 on the CPU, uniform over SO(3).

    They are made from uniform unit quaternions (K. Shoemake, Graphics Gems III, 1992). The first
    ones do not depend on ``n``.
    """
    u = uniform_numbers(seed, counter, 3 * n).view(n, 3)
    near, far = torch.sqrt(1.0 - u[:, 0]), torch.sqrt(u[:, 0])
    first, second = 2.0 * math.pi * u[:, 1], 2.0 * math.pi * u[:, 2]
    x, y = near * torch.sin(first), near * torch.cos(first)
    z, w = far * torch.sin(second), far * torch.cos(second)
    entries = [
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    ]
    return torch.stack(entries, dim=1).view(n, 3, 3)


def uniform_numbers(seed: int, counter: int, n: int) -> Tensor:
    """Return ``n`` numbers [n] in [0, 1), float64 with 53 random bits each."""
    key = mixed(torch.full([1], seed, dtype=torch.int64) - 7046029254386353131)
    start = mixed(key + torch.full([1], counter, dtype=torch.int64))
    # 2^64 divided by the golden ratio, as a signed number
    bits = mixed(start + torch.arange(1, n + 1, dtype=torch.int64) * -7046029254386353131)
    return ((bits >> 11) & 9007199254740991).to(torch.float64) * (1.0 / 9007199254740992.0)


def mixed(z: Tensor) -> Tensor:
    """Apply SplitMix64's finalizer; the masks turn arithmetic shifts into logical ones."""
    z = (z ^ ((z >> 30) & 17179869183)) * -4658895280553007687
    z = (z ^ ((z >> 27) & 137438953471)) * -7723592293110705685
    return z ^ ((z >> 31) & 8589934591)
