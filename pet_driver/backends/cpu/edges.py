"""Call the kernels that compute edges and forces; see :mod:`pet_driver.neighbors.edges`."""

from __future__ import annotations

import torch
from torch import Tensor

from pet_driver.backends.cpu.binding import load_library
from pet_driver.errors import PetDriverError


def near(
    positions: Tensor,
    centers: Tensor,
    neighbors: Tensor,
    reverse: Tensor,
    shift_vectors: Tensor | None,
    cutoff: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Select the edges shorter than ``cutoff`` from P pairs of atoms.

    See :meth:`pet_driver.neighbors.edges.Pairs.select`.

    Args:
        positions: [N, 3] in A, float64.
        centers, neighbors, reverse: [P]; see :class:`pet_driver.neighbors.edges.Pairs`.
        shift_vectors: [P, 3] in A, added to the vectors; ``None`` stands for zeros.
        cutoff: in A.

    Returns:
        the number of edges before each pair [P + 1]; vectors [E, 3], centers, neighbors and reverse
        [E] of the edges.

    Raises:
        PetDriverError: there is too little memory.
    """
    n_pairs = len(centers)
    place = centers.new_empty(n_pairs + 1)
    vectors = positions.new_empty(n_pairs, 3)
    near_centers, near_neighbors, near_reverse = centers.new_empty(3, n_pairs)
    inputs = [tensor.contiguous() for tensor in (positions, centers, neighbors, reverse)]
    failed = load_library().pet_near(
        n_pairs,
        *(tensor.data_ptr() for tensor in inputs),
        None if shift_vectors is None else shift_vectors.data_ptr(),
        cutoff,
        torch.get_num_threads(),
        *(place.data_ptr(), vectors.data_ptr()),
        *(near_centers.data_ptr(), near_neighbors.data_ptr(), near_reverse.data_ptr()),
    )
    _check(failed)
    kept = int(place[-1])
    return place, vectors[:kept], near_centers[:kept], near_neighbors[:kept], near_reverse[:kept]


def forces_and_virials(
    n_structures: int,
    structures: Tensor,
    centers: Tensor,
    reverse: Tensor,
    vectors: Tensor,
    gradients: Tensor,
) -> tuple[Tensor, Tensor]:
    """Compute forces [N, 3] and virials [B, 3, 3] from the gradients by edges [E, 3].

    See :func:`pet_driver.neighbors.edges.forces_and_virials`.

    Raises:
        PetDriverError: there is too little memory.
    """
    n_atoms, n_edges = len(structures), len(centers)
    structures, centers, reverse, vectors, gradients = (
        tensor.contiguous() for tensor in (structures, centers, reverse, vectors, gradients)
    )
    forces = vectors.new_empty(n_atoms, 3)
    virials = vectors.new_empty(n_structures, 3, 3)
    failed = load_library().pet_forces(
        *(n_atoms, n_edges, n_structures),
        *(structures.data_ptr(), centers.data_ptr()),
        None,  # neighbours of edges to atoms of other processes, which only LAMMPS has
        *(reverse.data_ptr(), vectors.data_ptr(), gradients.data_ptr()),
        torch.get_num_threads(),
        *(forces.data_ptr(), virials.data_ptr()),
    )
    _check(failed)
    return forces, virials


def _check(failed: int) -> None:
    if failed:
        raise PetDriverError(
            "out of memory while computing edges or forces: evaluate fewer structures at once"
        )
