"""Smooth cutoff functions, and the adaptive cutoff radius of each atom.

A cutoff function falls from 1 at ``cutoff - width`` to 0 at ``cutoff``. The adaptive scheme
gives each atom its own radius, at which a smooth count of its neighbours reaches a target; see the
sources in :mod:`pet_driver.network.pet`.
"""

import math

import torch
from torch import Tensor, nn

from pet_driver.network.hypers import Hypers
from pet_driver.network.transformer import edge_positions, table_width


def bump(distances: Tensor, cutoff: Tensor, width: float) -> Tensor:
    """Return (1 + tanh(cot(pi s))) / 2, infinitely smooth; s goes from 0 to 1 across the width."""
    s = ((distances - (cutoff - width)) / width).clamp(1e-6, 1.0 - 1e-6)
    return 0.5 * (1.0 + torch.tanh(1.0 / torch.tan(math.pi * s)))


def cosine(distances: Tensor, cutoff: Tensor, width: float) -> Tensor:
    """Return (1 + cos(pi s)) / 2; s goes from 0 to 1 across the width."""
    s = ((distances - (cutoff - width)) / width).clamp(0.0, 1.0)
    return 0.5 * (1.0 + torch.cos(math.pi * s))


def bump_and_slope(distances: Tensor, cutoff: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Return ``bump`` and its derivative by the cutoff, in closed form.

    The derivative is exactly zero outside the width, where the hyperbolic tangent rounds to 1.
    """
    s = ((distances - (cutoff - width)) / width).clamp(1e-6, 1.0 - 1e-6)
    angle = math.pi * s
    sine = torch.sin(angle)
    tanh = torch.tanh(torch.cos(angle) / sine)
    slope = (0.5 * math.pi / width) * (1.0 - tanh * tanh) / (sine * sine)
    return 0.5 * (1.0 + tanh), slope


def cosine_and_slope(distances: Tensor, cutoff: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Return ``cosine`` and its derivative by the cutoff."""
    s = ((distances - (cutoff - width)) / width).clamp(0.0, 1.0)
    return 0.5 * (1.0 + torch.cos(math.pi * s)), (0.5 * math.pi / width) * torch.sin(math.pi * s)


def neighbor_count(
    radii: Tensor, distances: Tensor, centers: Tensor, rmax: float, width: float, target: float
) -> Tensor:
    """Return the smooth number of neighbours within ``radii`` [N], plus a cubic baseline.

    The baseline ``target (r/rmax)^3`` makes the count reach the target by ``rmax`` at the
    latest, so that the equation count = target always has a root.
    """
    count = torch.zeros_like(radii).index_add(0, centers, bump(distances, radii[centers], width))
    return count + target * (radii / rmax) ** 3


def padded_distances(distances: Tensor, centers: Tensor, n_atoms: int, far: float) -> Tensor:
    """Return the distances of each atom's edges as padded rows [N, W]; the padding is ``far``.

    Sums over padded rows are several times faster than sums by index.

    Args:
        distances, centers: of edges sorted by centre [E].
        n_atoms: number of atoms N.
        far: a distance that does not count.
    """
    width = table_width(centers, n_atoms) - 1
    slots = centers * width + edge_positions(centers, n_atoms)
    padded = torch.full((n_atoms * width,), far, dtype=distances.dtype, device=distances.device)
    return padded.index_copy(0, slots, distances).view(n_atoms, width)


def count_and_slope(
    radii: Tensor, padded: Tensor, rmax: float, width: float, target: float
) -> tuple[Tensor, Tensor]:
    """Return ``neighbor_count`` [N] of padded distances [N, W], and its derivative by ``radii``."""
    inside, slopes = bump_and_slope(padded, radii[:, None], width)
    relative = radii / rmax
    count = inside.sum(dim=1) + target * relative**3
    return count, slopes.sum(dim=1) + 3.0 * target * relative**2 / rmax


def adaptive_radii_solver(
    distances: Tensor, centers: Tensor, n_atoms: int, rmax: float, width: float, target: float
) -> Tensor:
    """Return the radius of each atom [N] at which ``neighbor_count`` equals ``target``.

    Ten steps of Newton's method, guarded by bisection, find the root without gradients; one
    last Newton step whose residual keeps its gradient attaches them (implicit function theorem).
    """
    # Distances beyond the largest radius do not count.
    padded = padded_distances(distances.detach(), centers, n_atoms, rmax + 1.0)
    low = torch.zeros(n_atoms, dtype=distances.dtype, device=distances.device)
    high = torch.full_like(low, rmax)
    radii = 0.5 * high
    for _ in range(10):
        count, slope = count_and_slope(radii, padded, rmax, width, target)
        residual = count - target
        below = residual <= 0
        low = torch.where(below, radii, low)
        high = torch.where(below, high, radii)
        newton = radii - residual / slope.clamp(min=1e-6)
        inside = (newton >= low) & (newton <= high)
        radii = torch.where(inside, newton, 0.5 * (low + high))
    _, slope = count_and_slope(radii, padded, rmax, width, target)
    residual = neighbor_count(radii, distances, centers, rmax, width, target) - target
    return (radii - residual / slope.clamp(min=1e-6)).clamp(rmax / 16.0, rmax)


def adaptive_radii_grid(
    distances: Tensor, centers: Tensor, n_atoms: int, rmax: float, width: float, target: float
) -> Tensor:
    """Return the radius of each atom [N] by metatrain's older scheme.

    It is the mean of probe radii, weighted by a Gaussian of their count minus the target.
    """
    probes = torch.arange(0.5, rmax, width / 4.0, dtype=distances.dtype, device=distances.device)
    inside = bump(distances[:, None], probes[None, :], width)
    counts = torch.zeros(
        n_atoms, probes.shape[0], dtype=distances.dtype, device=distances.device
    ).index_add(0, centers, inside)
    ramp = torch.linspace(0.0, 1.0, probes.shape[0], dtype=probes.dtype, device=probes.device)
    excess = counts - target + target * ramp**3
    if probes.shape[0] == 1:
        sigma = 0.5 * excess.abs() + 1e-12
    else:
        sigma = torch.gradient(excess, dim=1)[0].abs().clamp(min=1e-12)
    exponent = -0.5 * (excess / sigma) ** 2
    # softmax shifts the exponents of each atom by their own maximum. A shift that all atoms share
    # would let some of them underflow to 0/0.
    weights = torch.softmax(exponent, dim=1)
    return weights @ probes


class PairCutoffs(nn.Module):
    """Cutoff radii and cutoff factors of edges."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.cutoff = hypers.cutoff
        self.width = hypers.cutoff_width
        self.is_bump = hypers.cutoff_function == "Bump"
        adaptive = hypers.num_neighbors_adaptive
        self.adaptive = adaptive is not None
        self.target = 0.0 if adaptive is None else float(adaptive)
        self.adaptive_width = hypers.cutoff_width_adaptive
        self.by_solver = hypers.adaptive_cutoff_method == "solver"

    def forward(
        self, distances: Tensor, centers: Tensor, neighbors: Tensor, n_atoms: int
    ) -> Tensor:
        """Return the cutoff radius of each edge [E] (A): if adaptive, the mean of two radii."""
        if not self.adaptive:
            return torch.full_like(distances, self.cutoff)
        if self.by_solver:
            radii = adaptive_radii_solver(
                distances, centers, n_atoms, self.cutoff, self.adaptive_width, self.target
            )
        else:
            radii = adaptive_radii_grid(
                distances, centers, n_atoms, self.cutoff, self.adaptive_width, self.target
            )
        return 0.5 * (radii[centers] + radii[neighbors])

    def factors(self, distances: Tensor, pair_cutoffs: Tensor) -> Tensor:
        """Return the cutoff factor of each edge [E]: 1 well inside its cutoff, 0 at it."""
        if self.is_bump:
            return bump(distances, pair_cutoffs, self.width)
        return cosine(distances, pair_cutoffs, self.width)

    def fixed_factors(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factor of each edge [E] and its derivative by distance, for a fixed cutoff."""
        cutoff = torch.full_like(distances, self.cutoff)
        if self.is_bump:
            factors, slopes = bump_and_slope(distances, cutoff, self.width)
        else:
            factors, slopes = cosine_and_slope(distances, cutoff, self.width)
        return factors, -slopes
