"""Sets of rotations over which an energy is averaged, by name.

A grid is a pair (rotations [R, 3, 3], weights [R]); weights sum to 1. A rotation R acts on row
vectors, ``x -> x R``. The energy of a structure as a function of its orientation has components of
angular momentum l, each even or odd under inversion. A grid removes those that it integrates to
zero exactly:

=============== ============================ ================================= ==================
name            rotations R                  set                               removes exactly
=============== ============================ ================================= ==================
``0``           1                            the identity                      nothing
``i``           2                            identity and inversion            what is odd
``N``, N <= 6   N (2N - 1)^2                 product of quadratures over       l <= 2N - 2
                                             three Euler angles
``lebedevN``    N times 6 ... 302            Lebedev's points of degree N      l <= N - 1
                                             (odd, 3 to 29), N angles about
                                             each
``T``           12                           rotations of the tetrahedron      l <= 2
``O``           24                           rotations of the cube             l <= 3
``I``           60                           rotations of the icosahedron      l <= 5
``T_d``         24                           ``T`` and its mirrors             l <= 2, even l = 3
``O_h``         48                           ``O`` and the inversion           l <= 3, what is odd
``I_h``         120                          ``I`` and the inversion           l <= 5, what is odd
``randomN``     N (1 if left out)            independent, uniform over SO(3)   all, on average
=============== ============================ ================================= ==================

A lower-case ``i`` after a number (``2i``, ``lebedev9i``, ``random4i``) or alone adds the
inversion: twice as many rotations, and what is odd under inversion vanishes too. That includes all
spherical harmonics of odd l. The capital ``I`` is the icosahedral group, without inversion.

``+random`` after a set rotates all of it by one random rotation R0, ``x -> x R0 R``, and removes
the same components: ``2i+random``. Random rotations depend on a seed and a counter only: see
:mod:`pet_driver.symmetry.grid_names` and :mod:`pet_driver.symmetry.random_rotations`.

``N`` is that of Langer, Pozdnyakov and Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.
``ecse`` is used in place of a grid: local reference frames that rotate with the structure remove
everything but what is odd under inversion, and ``ecsei`` removes that too.
The rules ``lebedev13``, ``lebedev25`` and ``lebedev27`` have some negative weights.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from pet_driver.symmetry import tables
from pet_driver.symmetry.grid_names import parse_grid_name
from pet_driver.symmetry.random_rotations import haar_rotations


class RotationGrids(nn.Module):
    """Builder of grids by name, part of every archive, so that each engine has all grids."""

    nodes: Tensor
    node_weights: Tensor
    points: Tensor
    point_weights: Tensor
    elements: Tensor

    def __init__(self) -> None:
        super().__init__()
        nodes, node_weights = tables.gauss_legendre()
        points, point_weights, self.lebedev_starts = tables.lebedev()
        elements, self.group_starts = tables.point_groups()
        for name, table in {
            "nodes": nodes,
            "node_weights": node_weights,
            "points": points,
            "point_weights": point_weights,
            "elements": elements,
        }.items():
            self.register_buffer(name, torch.from_numpy(table), persistent=False)
        self.largest_order = tables.LARGEST_EULER_ORDER
        self.lebedev_degrees = list(tables.LEBEDEV_DEGREES)
        self.group_names = list(tables.POINT_GROUPS)
        self.known = (
            "0 (raw), i, N or Ni with N from 1 to 6 (such as 2i), lebedevN or lebedevNi with odd N "
            "from 3 to 29, T, T_d, O, O_h, I, I_h, randomN or randomNi; +random rotates a grid at "
            "random, -each draws for every structure, @SEED sets the seed (such as 2i+random@7); "
            "ecse or ecsei is exact, -pooled with the frames of the whole structure"
        )

    def forward(self, name: str, counter: int = 0) -> tuple[Tensor, Tensor]:
        """Return a grid by its name.

        Args:
            name: see :mod:`pet_driver.symmetry.grids`.
            counter: index of the draw, where the grid is random; other grids ignore it.

        Returns:
            rotations [R, 3, 3] and weights [R], float64.

        Raises:
            ValueError: there is no grid of this name; the message lists all grids.
        """
        parsed = parse_grid_name(name)
        rotations, weights = self.points[:0, :, None], self.point_weights[:0]
        if parsed.valid and parsed.base.startswith("random"):
            rotations, weights = self.random_set(parsed.base, parsed.seed, counter)
        elif parsed.valid:
            rotations, weights = self.fixed_set(parsed.base)
        if weights.shape[0] == 0:
            raise ValueError("unknown grid '" + name + "'; known are " + self.known)
        if parsed.rotated:
            drawn = haar_rotations(parsed.seed, counter, 1).to(rotations.device)
            rotations = torch.matmul(drawn, rotations)
        return rotations, weights

    def fixed_set(self, base: str) -> tuple[Tensor, Tensor]:
        """Return a set that is not random; an empty one if there is none of this name."""
        for k, group in enumerate(self.group_names):
            if base == group:
                elements = self.elements[self.group_starts[k] : self.group_starts[k + 1]]
                return equally_weighted(elements)
        inversion = base.endswith("i")
        proper = base[: len(base) - 1] if inversion else base
        rotations, weights = self.points[:0, :, None], self.point_weights[:0]
        if base == "0" or base == "i":
            eye = torch.eye(3, dtype=self.nodes.dtype, device=self.nodes.device)
            rotations, weights = equally_weighted(eye[None])
        for order in range(1, self.largest_order + 1):
            if proper == str(order):
                rotations, weights = self.euler_set(order)
        for k, degree in enumerate(self.lebedev_degrees):
            if proper == "lebedev" + str(degree):
                rotations, weights = self.lebedev_set(k, degree)
        return with_inversion(rotations, weights) if inversion else (rotations, weights)

    def euler_set(self, order: int) -> tuple[Tensor, Tensor]:
        """Return the products R = Rz(omega) Rx(nu) Rz(theta).

        theta and omega run over 2 order - 1 equal steps, cos nu over the Gauss-Legendre nodes.
        """
        steps = 2 * order - 1
        about_z = rotations_about(2, self.equal_angles(steps))
        about_x = rotations_about(0, torch.acos(self.nodes[order, :order]))
        product = torch.einsum("wij,njk,tkl->twnil", about_z, about_x, about_z)
        weights = self.node_weights[order, :order] / float(steps * steps)
        weights = weights[None, None, :].expand(steps, steps, order)
        return product.reshape(-1, 3, 3), weights.reshape(-1)

    def lebedev_set(self, index: int, degree: int) -> tuple[Tensor, Tensor]:
        """Return the products R = Rz(omega) Rx(nu) Rz(theta).

        The third row of Rx(nu) Rz(theta) runs over Lebedev's points, omega over ``degree`` equal
        steps: the largest l of which all components vanish is then ``degree`` - 1.
        """
        start, stop = self.lebedev_starts[index], self.lebedev_starts[index + 1]
        points, weights = self.points[start:stop], self.point_weights[start:stop]
        theta = torch.atan2(points[:, 0], points[:, 1])
        about_x = rotations_about(0, torch.acos(points[:, 2]))
        onto_points = torch.matmul(about_x, rotations_about(2, theta))
        about_z = rotations_about(2, self.equal_angles(degree))
        product = torch.einsum("wij,njk->nwik", about_z, onto_points)
        weights = (weights / float(degree))[:, None].expand(stop - start, degree)
        return product.reshape(-1, 3, 3), weights.reshape(-1)

    def random_set(self, base: str, seed: int, counter: int) -> tuple[Tensor, Tensor]:
        """Return independent rotations; an empty set if the number in the name is not valid."""
        text = base[len("random") :]
        inversion = text.endswith("i")
        if inversion:
            text = text[: len(text) - 1]
        number = 1 if text == "" else 0
        if text.isdigit() and len(text) <= 4 and not text.startswith("0"):
            number = int(text)
        rotations, weights = self.points[:0, :, None], self.point_weights[:0]
        if number > 0:
            drawn = haar_rotations(seed, counter, number).to(self.nodes.device)
            rotations, weights = equally_weighted(drawn)
        return with_inversion(rotations, weights) if inversion else (rotations, weights)

    def equal_angles(self, steps: int) -> Tensor:
        """Return the angles [steps] that divide a full rotation."""
        counts = torch.arange(steps, dtype=self.nodes.dtype, device=self.nodes.device)
        return counts * (2.0 * math.pi / steps)


def equally_weighted(rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rotations [R, 3, 3] and weights [R] of 1 / R."""
    n = rotations.shape[0]
    return rotations, torch.full([n], 1.0 / n, dtype=rotations.dtype, device=rotations.device)


def with_inversion(rotations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the set [R] together with its product with the inversion: [2 R]."""
    return torch.cat([rotations, -rotations]), 0.5 * torch.cat([weights, weights])


def rotations_about(axis: int, angles: Tensor) -> Tensor:
    """Return rotations [n, 3, 3] about Cartesian axis 0, 1 or 2, acting on column vectors."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrices = torch.zeros(angles.shape[0], 3, 3, dtype=angles.dtype, device=angles.device)
    matrices[:, axis, axis] = 1.0
    matrices[:, first, first] = torch.cos(angles)
    matrices[:, second, second] = torch.cos(angles)
    matrices[:, first, second] = -torch.sin(angles)
    matrices[:, second, first] = torch.sin(angles)
    return matrices


def rotation_grid(name: str, counter: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rotations [R, 3, 3] and weights [R] of a grid as NumPy arrays.

    Args:
        name: such as ``"2i"``, ``"lebedev9"``, ``"I_h"``, ``"2i+random@7"``.
        counter: index of the draw of a random grid.

    Raises:
        ValueError: there is no such grid, or the name stands for local reference frames.
    """
    rotations, weights = RotationGrids()(name, counter)
    if parse_grid_name(name).frames:
        raise ValueError(f"{name} is no grid: it stands for frames that depend on the structure")
    return rotations.numpy(), weights.numpy()
