"""Local reference frames and their weights, from the neighbours of each atom.

Every ordered pair of neighbours (1, 2) of an atom defines a frame with columns

    u1,    n = unit(u1 x u2),    u1 x n,        u = unit vector to the neighbour,

that rotates with the structure. The coordinates of a structure in such a frame do not depend on its
orientation, so that a weighted mean of an energy over frames is invariant. The weights make the
mean smooth: that of a frame vanishes as one of its neighbours leaves an inner radius, and as the
two directions become collinear. The inner radius adapts to each environment, so that it contains a
usable pair if there is one at all. This is the scheme of S. N. Pozdnyakov and M. Ceriotti, "Smooth,
exact rotational symmetrization for deep learning on point clouds", NeurIPS 2023, with one round of
pruning where their code has several.

If all neighbours are on one line, or there are none, no pair defines a frame. Instead there is one
axis for the direction to each of the nearest neighbours, and a weight for the isolated atom; for
the energies that belong to them see :class:`pet_driver.symmetry.ecse.FrameAverage`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Frames of a smaller weight are left out; the energy jumps by at most this fraction.
NEGLIGIBLE = 1e-12
# Lambert's W(1/e). The smooth maximum of two numbers is less than the larger one by up to W/beta.
LAMBERT = 0.2784645427610738


class Frames(NamedTuple):
    """Local reference frames of groups of atoms.

    The weights of the frames of a group and its scarcity (the weight of the auxiliary energy) sum
    to 1. For each atom, ``lone`` and the weights of its axes sum to the scarcity of its group.
    """

    matrices: Tensor  # [F, 3, 3] the axes in columns
    weights: Tensor  # [F]
    groups: Tensor  # [F] group of each frame
    axes: Tensor  # [X, 3, 3] one axis in the first column, zeros in the others
    axis_weights: Tensor  # [X]
    axis_slots: Tensor  # [X] atom of each axis
    lone: Tensor  # [A] weight of the energy of an isolated atom


def smooth_step(x: Tensor) -> Tensor:
    """Return a step from 0 at x <= 0 to 1 at x >= 1 with continuous derivatives of all orders."""
    # Outside these bounds the value is 0 or 1 to rounding, and the reciprocals stay finite.
    x = x.clamp(2e-3, 1.0 - 2e-3)
    return torch.sigmoid(1.0 / (1.0 - x) - 1.0 / x)


def spans(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices ``starts[k] ... starts[k] + counts[k] - 1`` for all k, and their k."""
    owner = torch.repeat_interleave(counts)
    offsets = torch.cumsum(counts, 0) - counts
    positions = torch.arange(owner.shape[0], device=counts.device)
    return starts[owner] + positions - offsets[owner], owner


def sum_by(values: Tensor, slots: Tensor, n: int) -> Tensor:
    """Return the sums of ``values`` in each of ``n`` slots [n]."""
    return torch.zeros(n, dtype=values.dtype, device=values.device).index_add(0, slots, values)


def smooth_maximum(weights: Tensor, slots: Tensor, n: int, beta: float) -> Tensor:
    """Return the smooth maximum of ``weights`` in each of ``n`` slots [n], 0 in an empty one."""
    boosted = weights * torch.exp(beta * weights)
    total = sum_by(boosted, slots, n)
    filled = total > 0.0
    return torch.where(
        filled,
        sum_by(boosted * weights, slots, n) / torch.where(filled, total, torch.ones_like(total)),
        torch.zeros_like(total),
    )


class FrameBuilder(nn.Module):
    """Builder of local reference frames; its attributes are the parameters of the scheme.

    Args:
        cutoff: length of the longest edge, A.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.reach = cutoff
        self.beta = 5.0  # 1/A, sharpness of the smooth extremes of lengths
        self.beta_weights = 1.0  # sharpness of the smooth maximum of weights
        self.width = min(0.15, 0.1 * self.reach)  # A, over which the weight of a neighbour vanishes
        # |u1 x u2|^2, the squared sine of the angle between two directions, from which a pair is
        # reliable, and the width over which the weight of a pair vanishes below it.
        self.sine_squared = 0.2
        self.sine_squared_width = 0.15
        # Frames vanish whose weight is below ``pruning`` times the largest weight of their group,
        # over ``pruning_width`` of it. Several rounds of pruning amplify each other: with narrow
        # ones the energy is smooth in theory, but jumps within 1e-5 A. One wide round does not.
        self.pruning = 0.5
        self.pruning_width = 0.5
        self.pruning_rounds = 1
        self.enough = 0.5  # a largest weight of frames from which axes are not needed
        # With this margin the inner radius does not exceed ``reach``.
        self.shortfall = LAMBERT / self.beta
        self.outer = self.reach - self.width - self.shortfall
        self.negligible = NEGLIGIBLE

    def forward(
        self, vectors: Tensor, first: Tensor, counts: Tensor, groups: Tensor, n_groups: int
    ) -> Frames:
        """Return the frames of groups of atoms, differentiable with respect to ``vectors``.

        Args:
            vectors: all edge vectors [E, 3] in A, float64.
            first: index of the first edge of each atom [A].
            counts: number of edges of each atom [A].
            groups: group of each atom [A]; the weights of frames are normalised within a group.
            n_groups: number of groups.
        """
        n_atoms = first.shape[0]
        edges, slots = spans(first, counts)
        near = torch.nonzero(
            torch.linalg.vector_norm(vectors.detach()[edges], dim=1) < self.reach
        ).squeeze(1)
        own, slots = vectors[edges[near]], slots[near]
        lengths = torch.sqrt((own * own).sum(dim=1))
        units = own / lengths[:, None]

        matrices, weights, pair_slots = self.pair_frames(units, lengths, slots, n_atoms)
        frame_groups = groups[pair_slots]
        largest = smooth_maximum(weights, frame_groups, n_groups, self.beta_weights)
        scarcity = smooth_step((self.enough - largest) / self.enough)
        weights = self.prune(weights, frame_groups, scarcity)
        kept = torch.nonzero(weights > self.negligible).squeeze(1)
        weights, frame_groups = weights[kept], frame_groups[kept]
        total = sum_by(weights, frame_groups, n_groups) + scarcity

        share = (scarcity / total)[groups]
        axes, axis_weights, axis_slots, lone = self.axis_frames(units, lengths, slots, share)
        return Frames(
            matrices[kept],
            weights / total[frame_groups],
            frame_groups,
            axes,
            axis_weights,
            axis_slots,
            lone,
        )

    def pair_frames(
        self, units: Tensor, lengths: Tensor, slots: Tensor, n_atoms: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return matrices [F, 3, 3], weights [F] (not normalised) and atoms [F] of all pairs."""
        sizes = sum_by(torch.ones_like(slots), slots, n_atoms)
        starts = torch.cumsum(sizes, 0) - sizes
        second, one = spans(starts[slots], sizes[slots])
        once = torch.nonzero(one < second).squeeze(1)
        one, two = one[once], second[once]
        radii = self.inner_radii(units, lengths, slots, one, two, n_atoms)

        with_order = torch.nonzero(
            (lengths[one] < radii[slots[one]]) & (lengths[two] < radii[slots[two]])
        ).squeeze(1)
        one, two = one[with_order], two[with_order]
        cross = torch.linalg.cross(units[one], units[two], dim=1)
        sine_squared = (cross * cross).sum(dim=1)
        usable = torch.nonzero(sine_squared > self.sine_squared - self.sine_squared_width).squeeze(
            1
        )
        one, two, cross = one[usable], two[usable], cross[usable]
        sine_squared = sine_squared[usable]
        inside = smooth_step((radii[slots] - lengths) / self.width)
        ramp = (sine_squared - self.sine_squared) / self.sine_squared_width + 1.0
        weights = inside[one] * inside[two] * smooth_step(ramp) * ramp

        normal = cross / torch.sqrt(sine_squared)[:, None]
        forward = torch.stack(
            [units[one], normal, torch.linalg.cross(units[one], normal, dim=1)], dim=2
        )
        backward = torch.stack(
            [units[two], -normal, torch.linalg.cross(units[two], -normal, dim=1)], dim=2
        )
        return (
            torch.cat([forward, backward]),
            torch.cat([weights, weights]),
            torch.cat([slots[one], slots[one]]),
        )

    def inner_radii(
        self, units: Tensor, lengths: Tensor, slots: Tensor, one: Tensor, two: Tensor, n_atoms: int
    ) -> Tensor:
        """Return the radius (A) within which each atom [A] has a reliable pair, if it has any."""
        a, b = lengths[one], lengths[two]
        larger = a * torch.sigmoid(self.beta * (a - b)) + b * torch.sigmoid(self.beta * (b - a))
        larger = larger + self.shortfall
        cross = torch.linalg.cross(units[one], units[two], dim=1)
        sine_squared = (cross * cross).sum(dim=1)
        reliable = smooth_step((sine_squared - self.sine_squared) / self.sine_squared_width)
        inside = smooth_step((self.outer - lengths) / self.width)
        return self.smallest(larger, inside[one] * inside[two] * reliable, slots[one], n_atoms)

    def smallest(self, values: Tensor, weights: Tensor, slots: Tensor, n_atoms: int) -> Tensor:
        """Return the smooth minimum of outer radius and ``values``, plus one width, by atom [A]."""
        boosted = weights * torch.exp(self.beta * (self.outer - values))
        total = sum_by(boosted, slots, n_atoms) + 1.0
        return (sum_by(boosted * values, slots, n_atoms) + self.outer) / total + self.width

    def prune(self, weights: Tensor, groups: Tensor, scarcity: Tensor) -> Tensor:
        """Reduce the weights of frames that are small against the largest one of their group."""
        n_groups = scarcity.shape[0]
        for _ in range(self.pruning_rounds):
            best = smooth_maximum(weights, groups, n_groups, self.beta_weights)[groups]
            best = best.clamp(min=self.negligible)
            factors = smooth_step((weights / best - self.pruning) / self.pruning_width)
            weights = weights * (factors + (1.0 - factors) * scarcity[groups])
        return weights

    def axis_frames(
        self, units: Tensor, lengths: Tensor, slots: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return axes [X, 3, 3], their weights and atoms [X], and weights of isolated atoms [A].

        The weights of an atom, that of the isolated atom included, sum to its ``shares`` [A].
        """
        n_atoms = shares.shape[0]
        needed = torch.nonzero(shares[slots] > self.negligible).squeeze(1)
        units, lengths, slots = units[needed], lengths[needed], slots[needed]
        inside = smooth_step((self.outer - lengths) / self.width)
        radii = self.smallest(lengths, inside, slots, n_atoms)
        weights = smooth_step((radii[slots] - lengths) / self.width)
        kept = torch.nonzero(weights > self.negligible).squeeze(1)
        weights, slots = weights[kept], slots[kept]
        sums = sum_by(weights, slots, n_atoms)
        lone = smooth_step((self.enough - sums) / self.enough)
        shares = shares / (sums + lone)
        zeros = torch.zeros_like(units[kept])
        matrices = torch.stack([units[kept], zeros, zeros], dim=2)
        return matrices, weights * shares[slots], slots, lone * shares
