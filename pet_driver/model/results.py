"""Results of an evaluation: as tensors for a batch, and as NumPy arrays for one structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Results:
    """Results for one structure.

    Attributes:
        energy: eV, averaged over the grid.
        forces: [N, 3] in eV/A, minus the gradient of ``energy``.
        full_virial: [3, 3] in eV, minus the derivative of ``energy`` by strain; not symmetrized.
        energies: energy of each atom [N] in eV; their sum is ``energy``.
        raw_energy: eV, of the structure in its own orientation, not averaged.
        rotation_std: weighted standard deviation of the energy over the grid, eV.
        rotation_energies: energy under each rotation of :meth:`Model.rotations` [R] in eV.
        ensemble_std: standard deviation of ``energy`` over the members of an ensemble, eV;
            zero for a single model.
        force_std: for each atom [N] the root mean square over the members of an ensemble of the
            distance of a member's force from the mean force, eV/A; zero for a single model.
    """

    energy: float
    forces: np.ndarray
    full_virial: np.ndarray
    energies: np.ndarray
    raw_energy: float
    rotation_std: float
    rotation_energies: np.ndarray
    ensemble_std: float
    force_std: np.ndarray

    @property
    def virial(self) -> np.ndarray:
        """The symmetric part of ``full_virial`` [3, 3], eV."""
        return 0.5 * (self.full_virial + self.full_virial.T)

    @property
    def antisymmetric_virial(self) -> float:
        """Norm (eV) of the antisymmetric part of ``full_virial``.

        It is zero for a potential that is invariant under rotations.
        """
        return float(np.linalg.norm(0.5 * (self.full_virial - self.full_virial.T)))

    @property
    def is_finite(self) -> bool:
        """Whether the energy, all forces and the virial are finite numbers."""
        return math.isfinite(self.energy + self.forces.sum() + self.full_virial.sum())


@dataclass(frozen=True)
class TensorResults:
    """Results for a batch of B structures with N atoms in all, as tensors on the model's device.

    All tensors are float64, whatever the precision of the network, and carry no autograd graph.

    Attributes:
        energies: [B] in eV, averaged over the grid.
        forces: [N, 3] in eV/A, minus the gradient of ``energies``.
        full_virials: [B, 3, 3] in eV, minus the derivative of ``energies`` by strain; not
            symmetrized.
        atomic_energies: energy of each atom [N] in eV.
        rotation_energies: energy under each rotation of :meth:`Model.rotations` [R, B] in eV.
        weights: weights of these rotations [R].
        ensemble_std: standard deviation of ``energies`` over the members of an ensemble [B], eV;
            zero for a single model.
        force_std: for each atom [N] the root mean square over the members of an ensemble of the
            distance of a member's force from the mean force, eV/A; zero for a single model.
    """

    energies: Tensor
    forces: Tensor
    full_virials: Tensor
    atomic_energies: Tensor
    rotation_energies: Tensor
    weights: Tensor
    ensemble_std: Tensor
    force_std: Tensor

    @property
    def virials(self) -> Tensor:
        """The symmetric part of ``full_virials`` [B, 3, 3], eV."""
        return 0.5 * (self.full_virials + self.full_virials.transpose(1, 2))

    @property
    def raw_energies(self) -> Tensor:
        """Energies of the structures in their own orientation [B], not averaged, eV."""
        return self.rotation_energies[0]

    @property
    def rotation_std(self) -> Tensor:
        """Weighted standard deviation of the energies over the grid [B], eV."""
        if self.weights.shape[0] == 1:
            return torch.zeros_like(self.energies)
        deviations = self.rotation_energies - self.weights @ self.rotation_energies
        return (self.weights @ deviations**2).clamp(min=0.0).sqrt()

    @property
    def is_finite(self) -> bool:
        """Whether all energies, forces and virials are finite; on a GPU this waits for them."""
        tensors = (self.energies, self.forces, self.full_virials)
        if self.energies.device.type == "cpu":  # NumPy has less overhead for small arrays
            return math.isfinite(sum(tensor.numpy().sum() for tensor in tensors))
        return math.isfinite(float(sum(tensor.sum() for tensor in tensors)))

    @classmethod
    def join(cls, parts: Sequence[TensorResults]) -> TensorResults:
        """Return the results of consecutive batches that share the weights of their rotations."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            energies=torch.cat([part.energies for part in parts]),
            forces=torch.cat([part.forces for part in parts]),
            full_virials=torch.cat([part.full_virials for part in parts]),
            atomic_energies=torch.cat([part.atomic_energies for part in parts]),
            rotation_energies=torch.cat([part.rotation_energies for part in parts], dim=1),
            weights=parts[0].weights,
            ensemble_std=torch.cat([part.ensemble_std for part in parts]),
            force_std=torch.cat([part.force_std for part in parts]),
        )

    @classmethod
    def mean(cls, members: Sequence[TensorResults]) -> TensorResults:
        """Return the mean over the members of an ensemble, evaluated under the same rotations."""
        energies = torch.stack([member.energies for member in members])
        forces = torch.stack([member.forces for member in members])
        mean_energies, mean_forces = energies.mean(dim=0), forces.mean(dim=0)
        energy_squares = (energies - mean_energies) ** 2
        force_squares = ((forces - mean_forces) ** 2).sum(dim=2)
        return cls(
            energies=mean_energies,
            forces=mean_forces,
            full_virials=torch.stack([m.full_virials for m in members]).mean(dim=0),
            atomic_energies=torch.stack([m.atomic_energies for m in members]).mean(dim=0),
            rotation_energies=torch.stack([m.rotation_energies for m in members]).mean(dim=0),
            weights=members[0].weights,
            ensemble_std=energy_squares.mean(dim=0).sqrt(),
            force_std=force_squares.mean(dim=0).sqrt(),
        )

    def on_cpu(self) -> TensorResults:
        """Return the results on the CPU, in one transfer."""
        if self.energies.device.type == "cpu":
            return self
        tensors = list(vars(self).values())
        packed = torch.cat([tensor.reshape(-1) for tensor in tensors]).cpu()
        parts = packed.split([tensor.numel() for tensor in tensors])
        return TensorResults(*(p.view(t.shape) for p, t in zip(parts, tensors, strict=True)))

    def by_structure(self, sizes: Sequence[int]) -> list[Results]:
        """Return the results of each structure as NumPy arrays.

        Args:
            sizes: number of atoms of each structure.
        """
        found = self.on_cpu()
        energies, virials = found.energies.tolist(), found.full_virials.numpy()
        forces, atomic_energies = found.forces.numpy(), found.atomic_energies.numpy()
        rotation_energies, rotation_std = (
            found.rotation_energies.numpy(),
            found.rotation_std.tolist(),
        )
        ensemble_std, force_std = found.ensemble_std.tolist(), found.force_std.numpy()
        return [
            Results(
                energy=energies[index],
                forces=forces[first:last],
                full_virial=virials[index],
                energies=atomic_energies[first:last],
                raw_energy=float(rotation_energies[0, index]),
                rotation_std=rotation_std[index],
                rotation_energies=rotation_energies[:, index],
                ensemble_std=ensemble_std[index],
                force_std=force_std[first:last],
            )
            for index, (first, last) in enumerate(pairwise(accumulate(sizes, initial=0)))
        ]
