"""Sets of rotations over which an energy is averaged, by name.

A grid is a pair (rotations [R, 3, 3], weights [R]); weights sum to 1. A rotation R acts on row
vectors, ``x -> x R``, as in Langer, Pozdnyakov and Ceriotti, Mach. Learn.: Sci. Technol. 5
(2024) 04LT01, whose notation is used here:

====== ================================================= ===========================
name   rotations                                         integrates exactly
====== ================================================= ===========================
``0``  the identity                                      nothing
``i``  the identity and the inversion                    odd l
``N``  a product of quadratures over three Euler angles  l <= 2N - 2
``Ni`` the same with the inversion                       the same, and odd l
====== ================================================= ===========================
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

LARGEST_ORDER = 6


class RotationGrids(nn.Module):
    """Builds grids by name; scripted into every archive so that each engine can ask for any."""

    def __init__(self) -> None:
        super().__init__()
        nodes = torch.zeros(LARGEST_ORDER + 1, LARGEST_ORDER, dtype=torch.float64)
        weights = torch.zeros_like(nodes)
        for order in range(1, LARGEST_ORDER + 1):
            x, w = np.polynomial.legendre.leggauss(order)
            nodes[order, :order] = torch.from_numpy(x)
            weights[order, :order] = torch.from_numpy(w / w.sum())
        self.register_buffer("nodes", nodes, persistent=False)
        self.register_buffer("node_weights", weights, persistent=False)
        self.largest_order = LARGEST_ORDER

    def forward(self, name: str) -> tuple[Tensor, Tensor]:
        """The grid called ``name``; an unknown name raises and lists what there is."""
        inversion = name.endswith("i")
        order_text = name[:-1] if inversion else name
        order = -1
        for candidate in range(self.largest_order + 1):
            if order_text == str(candidate) or (order_text == "" and candidate == 0 and inversion):
                order = candidate
        if order < 0 or name == "0i":
            raise ValueError(
                "unknown grid '"
                + name
                + "'; known are 0 (raw), i, and N or Ni with N from 1 to "
                + str(self.largest_order)
                + ", such as 2i"
            )
        if order == 0:
            rotations = torch.eye(3, dtype=torch.float64, device=self.nodes.device)[None]
            weights = torch.ones(1, dtype=torch.float64, device=self.nodes.device)
        else:
            rotations, weights = self.euler_grid(order)
        if inversion:
            rotations = torch.cat([rotations, -rotations])
            weights = 0.5 * torch.cat([weights, weights])
        return rotations, weights

    def euler_grid(self, order: int) -> tuple[Tensor, Tensor]:
        """R = Rz(omega) Rx(nu) Rz(theta).

        theta and omega run over 2 order - 1 equal steps, cos nu over the Gauss-Legendre nodes.
        """
        steps = 2 * order - 1
        angles = torch.arange(steps, dtype=torch.float64, device=self.nodes.device)
        about_z = rotations_about(2, angles * (2.0 * math.pi / steps))
        about_x = rotations_about(0, torch.acos(self.nodes[order, :order]))
        product = torch.einsum("wij,njk,tkl->twnil", about_z, about_x, about_z)
        weights = self.node_weights[order, :order] / float(steps * steps)
        weights = weights[None, None, :].expand(steps, steps, order)
        return product.reshape(-1, 3, 3), weights.reshape(-1)


def rotations_about(axis: int, angles: Tensor) -> Tensor:
    """Rotation matrices [n, 3, 3] (acting on column vectors) about Cartesian axis 0, 1 or 2."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrices = torch.zeros(angles.shape[0], 3, 3, dtype=angles.dtype, device=angles.device)
    matrices[:, axis, axis] = 1.0
    matrices[:, first, first] = torch.cos(angles)
    matrices[:, second, second] = torch.cos(angles)
    matrices[:, first, second] = -torch.sin(angles)
    matrices[:, second, first] = torch.sin(angles)
    return matrices


def rotation_grid(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(rotations [R, 3, 3], weights [R]) of the grid called ``name``, as numpy arrays."""
    rotations, weights = RotationGrids()(name)
    return rotations.numpy(), weights.numpy()
