"""Coordinate frames and their weights, made from the neighbours of each atom.

Every ordered pair of neighbours (1, 2) of an atom defines a frame with columns

    u1,    n = unit(u1 x u2),    u1 x n,        u = unit vector to the neighbour,

that turns with the structure. A structure seen in such a frame looks the same however it is
turned, and a weighted mean of an energy over frames is invariant. The weights make the mean
smooth: a pair counts while both neighbours lie within an inner radius, and while the two
directions are not collinear. The inner radius adapts to each environment so that there is a
usable pair inside whenever there is one at all. After S. N. Pozdnyakov and M. Ceriotti, "Smooth,
exact rotational symmetrization for deep learning on point clouds", NeurIPS 2023.

Where all neighbours lie on one line, or there are none, no pair defines a frame. There the
directions to the nearest neighbours take over, one axis each, and a lone atom has a weight of its
own: for the energies that go with them see
:class:`pet_driver.symmetry.potential.SymmetrizedPotential`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

# A frame that weighs less than this is left out; the energy jumps by no more than this fraction.
NEGLIGIBLE = 1e-12
# W(1/e)/beta is the most by which the smooth maximum of two numbers falls short of the larger.
LAMBERT = 0.2784645427610738


class Frames(NamedTuple):
    """Frames of groups of atoms.

    ``scarcity`` of a group, and the weights of its frames, sum to 1; so do, over ``scarcity`` of
    its group, the weight ``lone`` of an atom and those of its axes.
    """

    matrices: Tensor  # [F, 3, 3] the axes in columns
    weights: Tensor  # [F]
    groups: Tensor  # [F] which group each frame belongs to
    axes: Tensor  # [X, 3, 3] one axis in the first column, zeros in the others
    axis_weights: Tensor  # [X]
    axis_slots: Tensor  # [X] which atom each axis belongs to
    lone: Tensor  # [A] weight of the isolated atom


def smooth_step(x: Tensor) -> Tensor:
    """From 0 at x <= 0 to 1 at x >= 1, with all derivatives continuous."""
    # Outside these bounds the value is 0 or 1 to rounding, and the reciprocals stay finite.
    x = x.clamp(2e-3, 1.0 - 2e-3)
    return torch.sigmoid(1.0 / (1.0 - x) - 1.0 / x)


def spans(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Indices ``starts[k] ... starts[k] + counts[k] - 1`` for all k, and the k of each."""
    owner = torch.repeat_interleave(counts)
    offsets = torch.cumsum(counts, 0) - counts
    positions = torch.arange(owner.shape[0], device=counts.device)
    return starts[owner] + positions - offsets[owner], owner


def sum_by(values: Tensor, slots: Tensor, n: int) -> Tensor:
    """Sums of ``values`` over each of ``n`` slots [n]."""
    return torch.zeros(n, dtype=values.dtype, device=values.device).index_add(0, slots, values)


def smooth_maximum(weights: Tensor, slots: Tensor, n: int, beta: float) -> Tensor:
    """Smooth maximum of ``weights`` in each of ``n`` slots, 0 in an empty one."""
    boosted = weights * torch.exp(beta * weights)
    total = sum_by(boosted, slots, n)
    filled = total > 0.0
    return torch.where(
        filled,
        sum_by(boosted * weights, slots, n) / torch.where(filled, total, torch.ones_like(total)),
        torch.zeros_like(total),
    )


class FrameBuilder(nn.Module):
    """Builds the frames; the attributes are the parameters of the scheme, lengths in A.

    Args:
        cutoff: no edge is longer than this.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.reach = cutoff
        self.beta = 5.0  # 1/A, sharpness of the smooth extremes of lengths
        self.beta_weights = 1.0  # sharpness of the smooth maximum of weights
        self.width = min(0.15, 0.1 * self.reach)  # over which a neighbour leaves
        self.spread = 0.2  # |u1 x u2|^2 from which a pair can be relied on
        self.spread_width = 0.15  # over which a pair turns collinear
        # Frames vanish that weigh less than ``pruning`` times the largest of their group, over
        # ``pruning_width`` of it. Rounds of pruning amplify each other: several narrow ones are
        # smooth by formula, but let the energy jump within 1e-5 A. One wide round does not.
        self.pruning = 0.5
        self.pruning_width = 0.5
        self.pruning_rounds = 1
        self.enough = 0.5  # largest weight at which axes are no longer needed
        # The inner radius is at most ``reach``, however the smooth extremes overshoot.
        self.shortfall = LAMBERT / self.beta
        self.outer = self.reach - self.width - self.shortfall
        self.negligible = NEGLIGIBLE

    def forward(
        self, vectors: Tensor, first: Tensor, counts: Tensor, groups: Tensor, n_groups: int
    ) -> Frames:
        """Frames of groups of atoms.

        Args:
            vectors: all edge vectors [E, 3] in A, float64.
            first: where the edges of each atom begin [A].
            counts: how many edges it has [A].
            groups: the group of each atom [A]; frames compete within a group.
            n_groups: number of groups.

        Returns:
            Frames, differentiable with respect to ``vectors``.
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
        """Matrices [F, 3, 3], weights [F], not normalised, and slots [F] of all pairs."""
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
        spread = (cross * cross).sum(dim=1)
        usable = torch.nonzero(spread > self.spread - self.spread_width).squeeze(1)
        one, two, cross, spread = one[usable], two[usable], cross[usable], spread[usable]
        inside = smooth_step((radii[slots] - lengths) / self.width)
        ramp = (spread - self.spread) / self.spread_width + 1.0
        weights = inside[one] * inside[two] * smooth_step(ramp) * ramp

        normal = cross / torch.sqrt(spread)[:, None]
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
        """The radius [A] within which each atom has a reliable pair, if it has any."""
        a, b = lengths[one], lengths[two]
        larger = a * torch.sigmoid(self.beta * (a - b)) + b * torch.sigmoid(self.beta * (b - a))
        larger = larger + self.shortfall
        cross = torch.linalg.cross(units[one], units[two], dim=1)
        reliable = smooth_step(((cross * cross).sum(dim=1) - self.spread) / self.spread_width)
        inside = smooth_step((self.outer - lengths) / self.width)
        return self.smallest(larger, inside[one] * inside[two] * reliable, slots[one], n_atoms)

    def smallest(self, values: Tensor, weights: Tensor, slots: Tensor, n_atoms: int) -> Tensor:
        """Smooth minimum of the outer radius and of ``values``, plus one switching width [A]."""
        boosted = weights * torch.exp(self.beta * (self.outer - values))
        total = sum_by(boosted, slots, n_atoms) + 1.0
        return (sum_by(boosted * values, slots, n_atoms) + self.outer) / total + self.width

    def prune(self, weights: Tensor, groups: Tensor, scarcity: Tensor) -> Tensor:
        """Let frames fade that weigh less than the best of their group, where it has enough."""
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
        """Axes [X, 3, 3], their weights and slots [X], and the lone atom's weight [A].

        The weights of an atom, ``lone`` included, sum to its part of ``shares`` [A].
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
