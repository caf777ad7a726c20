"""Evaluate metatrain's PET with the network of this package, to train faster on a CPU.

The weights are metatrain's own, and energies, forces and gradients agree to rounding. The edges are
a list without padding, forces are differentiated along edges instead of through positions, and a
batch is evaluated in parts of one large structure or several small ones. The data of a part stay in
the cache, and parts run in parallel: two parts on two cores take little more time than one, while
two threads within each operation gain little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain.pet.modules.nef import get_corresponding_edges
from torch import Tensor

from pet_driver.checkpoints.metatrain import network_names
from pet_driver.network import PET, Hypers, PairCutoffs
from pet_driver.network.transformer import table_width

PART_ATOMS = 200  # largest number of atoms of a part, unless one structure has more
Evaluation = Callable[..., dict[str, TensorMap]]


class Edges(NamedTuple):
    """Edge list of several structures, sorted by centre."""

    species: Tensor  # indices [N]
    vectors: Tensor  # [E, 3] in A
    centers: Tensor  # [E]
    neighbors: Tensor  # [E]
    reverse: Tensor  # [E]


class EdgeListNetwork:
    """A metatrain PET evaluated by the network of this package with the same weight tensors.

    Args:
        model: the PET of metatrain.
        target: name of one of its energies.
        threads: number of parts that run at a time, each in one thread.
    """

    def __init__(self, model: Any, target: str, threads: int) -> None:
        hypers = Hypers.from_dict(model.hypers)
        self.network = PET(hypers, len(model.atomic_types))
        self.cutoffs = PairCutoffs(hypers)
        self.index = model.backend.species_to_species_index
        self.options = model.requested_neighbor_lists()[0]
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        weights = dict(model.named_parameters())
        for ours, theirs in network_names(weights, target).items():
            module, _, name = ours.rpartition(".")
            self.network.get_submodule(module).register_parameter(name, weights[theirs])
        self.weights = [one for one in self.network.parameters() if one.requires_grad]

    def __call__(self, systems: list[Any], differentiable: bool) -> tuple[Tensor, Tensor]:
        """Return energies [structures, 1] and their gradients with respect to positions [N, 3].

        Both are differentiable with respect to the weights if ``differentiable``.
        """
        if differentiable:
            return Differentiable.apply(self, systems, *self.weights)
        return self.joined(self.evaluate(systems, differentiable=False))

    def evaluate(self, systems: list[Any], differentiable: bool) -> list[tuple[Tensor, Tensor]]:
        """Return energies and gradients of each part."""
        parts = _parts(systems)
        return list(self.pool.map(self._evaluate, parts, [differentiable] * len(parts)))

    @staticmethod
    def joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Concatenate the parts, detached from the autograd graph."""
        energies, gradients = zip(*parts, strict=True)
        return torch.cat(energies).detach(), torch.cat(gradients).detach()

    def _evaluate(self, systems: list[Any], differentiable: bool) -> tuple[Tensor, Tensor]:
        """Evaluate one part."""
        edges = self._edges(systems)
        n_atoms = len(edges.species)
        lengths = edges.vectors.norm(dim=1)
        factors, slopes = self.cutoffs.fixed_factors(lengths)
        vectors = edges.vectors.detach().requires_grad_(True)
        factors.requires_grad_(True)
        width = table_width(edges.centers, n_atoms)
        by_atom = self.network.energies(
            edges.species, vectors, factors, edges.centers, edges.neighbors, edges.reverse, width
        )
        by_vector, by_factor = torch.autograd.grad(
            by_atom.sum(), [vectors, factors], create_graph=differentiable
        )
        along = by_vector + (by_factor * slopes / lengths)[:, None] * edges.vectors
        gradients = torch.zeros(n_atoms, 3, dtype=along.dtype).index_add(0, edges.neighbors, along)
        gradients = gradients.index_add(0, edges.centers, -along)
        sizes = torch.tensor([len(system) for system in systems])
        owners = torch.arange(len(systems)).repeat_interleave(sizes)
        energies = torch.zeros(len(systems), dtype=by_atom.dtype).index_add(0, owners, by_atom)
        return energies.to(along.dtype)[:, None], gradients

    def _edges(self, systems: list[Any]) -> Edges:
        """Return the edge list of a part, from the neighbour lists of its structures."""
        lists = [system.get_neighbor_list(self.options) for system in systems]
        starts = torch.tensor([0, *(len(system) for system in systems)]).cumsum(0)
        vectors = torch.cat([one.values.detach().squeeze(-1) for one in lists])
        samples = torch.cat([one.samples.values.to(torch.int64) for one in lists])
        counts = torch.tensor([len(one.values) for one in lists])
        offsets = starts[:-1].repeat_interleave(counts)
        near = (vectors.norm(dim=1) <= self.cutoffs.cutoff).nonzero().squeeze(1)
        order = near[torch.argsort((samples[:, 0] + offsets)[near], stable=True)]
        samples, offsets, vectors = samples[order], offsets[order], vectors[order]
        centers, neighbors = samples[:, 0] + offsets, samples[:, 1] + offsets
        reverse = get_corresponding_edges(centers, neighbors, samples[:, 2:])
        species = self.index[torch.cat([system.types for system in systems])].to(torch.int64)
        return Edges(species, vectors, centers, neighbors, reverse)


class Differentiable(torch.autograd.Function):
    """Energies and gradients of a batch whose parts are differentiated in parallel."""

    @staticmethod
    def forward(ctx: Any, network: EdgeListNetwork, systems: list[Any], *weights: Tensor) -> Any:
        ctx.network, ctx.parts = network, network.evaluate(systems, differentiable=True)
        return network.joined(ctx.parts)

    @staticmethod
    def backward(ctx: Any, by_energy: Tensor, by_gradient: Tensor) -> Any:
        grad_outputs = zip(
            by_energy.split([len(energies) for energies, _ in ctx.parts]),
            by_gradient.split([len(gradients) for _, gradients in ctx.parts]),
            strict=True,
        )

        def differentiate(part: tuple[Tensor, Tensor], grad_output: tuple[Tensor, Tensor]) -> Any:
            return torch.autograd.grad(part, ctx.network.weights, grad_output)

        found = ctx.network.pool.map(differentiate, ctx.parts, grad_outputs)
        return None, None, *(sum(one) for one in zip(*found, strict=True))


def evaluate_by_edge_list(theirs: Evaluation, threads: int) -> Evaluation:
    """Wrap metatrain's ``evaluate_model`` to use edge lists wherever they are supported."""
    known: dict[str, tuple[Any, EdgeListNetwork]] = {}

    def evaluate(
        model: Any, systems: list[Any], targets: dict[str, Any], is_training: bool, **rest: Any
    ) -> dict[str, TensorMap]:
        if not _is_supported(model, systems, targets):
            return theirs(model, systems, targets, is_training, **rest)
        (target,) = targets
        if target not in known or known[target][0] is not model:
            known[target] = (model, EdgeListNetwork(model, target, threads))
        return {target: _as_metatrain(systems, *known[target][1](systems, is_training))}

    return evaluate


def _is_supported(model: Any, systems: list[Any], targets: dict[str, Any]) -> bool:
    """Return whether this is the training of a plain PET on energies and forces on a CPU."""
    return (
        model.training
        and systems[0].device.type == "cpu"
        and [list(one.gradients) for one in targets.values()] == [["positions"]]
        and model.hypers["num_neighbors_adaptive"] is None
        and not model.long_range
        and model.system_conditioning is None
    )


def _parts(systems: list[Any]) -> list[list[Any]]:
    """Divide systems, in their order, into parts of at most ``PART_ATOMS`` atoms."""
    parts: list[list[Any]] = [[]]
    for system in systems:
        if parts[-1] and sum(map(len, parts[-1])) + len(system) > PART_ATOMS:
            parts.append([])
        parts[-1].append(system)
    return parts


def _as_metatrain(systems: list[Any], energies: Tensor, gradients: Tensor) -> TensorMap:
    """Return energies and gradients in the form of metatrain's ``evaluate_model``."""
    properties = Labels("energy", torch.tensor([[0]]))
    block = TensorBlock(
        values=energies,
        samples=Labels("system", torch.arange(len(systems))[:, None]),
        components=[],
        properties=properties,
    )
    atoms = [
        torch.stack([torch.full((len(system),), k), torch.arange(len(system))], dim=1)
        for k, system in enumerate(systems)
    ]
    block.add_gradient(
        "positions",
        TensorBlock(
            values=gradients[:, :, None],
            samples=Labels(["sample", "atom"], torch.cat(atoms), assume_unique=True),
            components=[Labels("xyz", torch.arange(3)[:, None])],
            properties=properties,
        ),
    )
    return TensorMap(Labels.single(), [block])
