"""The kernels around the network; :mod:`pet_driver.neighbors.edges` says what they compute."""

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
    """Of P pairs those nearer than ``cutoff``; see :meth:`pet_driver.neighbors.edges.Pairs.near`."""
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
    """Forces [N, 3] and virials [B, 3, 3]; see :func:`pet_driver.neighbors.edges.forces_and_virials`."""
    inputs = [t.contiguous() for t in (structures, centers, reverse, vectors, gradients)]
    forces = vectors.new_empty(len(structures), 3)
    virials = vectors.new_empty(n_structures, 3, 3)
    failed = load_library().pet_forces(
        *(len(structures), len(centers), n_structures),
        *(tensor.data_ptr() for tensor in inputs),
        torch.get_num_threads(),
        *(forces.data_ptr(), virials.data_ptr()),
    )
    _check(failed)
    return forces, virials


def _check(failed: int) -> None:
    if failed:
        raise PetDriverError(
            "out of memory between the atoms and the network: take fewer structures"
        )
