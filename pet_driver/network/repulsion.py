"""ZBL repulsion of nuclei at short range, which may be added to the energy of a network.

The universal potential of J. F. Ziegler, J. P. Biersack and U. Littmark, "The Stopping and Range of
Ions in Solids" (Pergamon, 1985), in the form of LAMMPS' ``pair_style zbl``: a screened Coulomb
energy plus a polynomial that takes it to zero, with two derivatives, at an outer cutoff,

    E(r) = K/r sum_k c_k exp(-d_k r/a) + (A/3) r^3 + (B/4) r^4 + C,

    K = e^2/(4 pi eps_0) Z_i Z_j,   a = 0.4685 / (Z_i^0.23 + Z_j^0.23).

As in metatrain the inner cutoff is 0, the outer one the sum of the two atoms' covalent radii.
"""

import torch
from torch import Tensor, nn

COULOMB = 14.399645478425668  # e^2 / (4 pi eps_0), eV A
SCREENING_LENGTH = 0.46850  # A
SCREENING_EXPONENT = 0.23
COEFFICIENTS = (0.02817, 0.28022, 0.50986, 0.18175)
RATES = (0.20162, 0.40290, 0.94229, 3.19980)


def screened_coulomb(
    lengths: Tensor, charges: Tensor, rates: Tensor, coefficients: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the screened Coulomb energy and its first two derivatives by the length.

    Args:
        lengths: [P] in A.
        charges: K of each pair [P], eV A.
        rates: d_k / a of each pair [P, 4], 1/A.
        coefficients: c_k [4].

    Returns:
        three tensors [P]: eV, eV/A, eV/A^2.
    """
    terms = coefficients * torch.exp(-rates * lengths[:, None])
    screen = terms.sum(dim=1)
    slope = -(rates * terms).sum(dim=1)
    curvature = (rates * rates * terms).sum(dim=1)
    bare = charges / lengths
    falling = slope - screen / lengths
    return bare * screen, bare * falling, bare * (curvature - 2.0 * falling / lengths)


class Repulsion(nn.Module):
    """ZBL repulsion as a function of edge vectors.

    Args:
        atomic_numbers: atomic number of each species.
        radii: covalent radius of each species, A.
    """

    # TorchScript cannot read these where annotations are strings (from __future__).
    coefficients: Tensor
    cutoffs: Tensor
    charges: Tensor
    rates: Tensor
    cubic: Tensor
    quartic: Tensor
    constant: Tensor

    def __init__(self, atomic_numbers: list[int], radii: list[float]) -> None:
        super().__init__()
        self.n_species = len(atomic_numbers)
        radius = torch.tensor(radii, dtype=torch.float64)
        cutoffs = (radius[:, None] + radius).reshape(-1)
        charges, lengths = pair_constants(atomic_numbers)
        rates = torch.tensor(RATES, dtype=torch.float64) / lengths[:, None]
        coefficients = torch.tensor(COEFFICIENTS, dtype=torch.float64)
        energy, slope, curvature = screened_coulomb(cutoffs, charges, rates, coefficients)
        # Energy and two derivatives vanish at the cutoff.
        cubic = (cutoffs * curvature - 3.0 * slope) / cutoffs**2
        quartic = (2.0 * slope - cutoffs * curvature) / cutoffs**3
        constant = cutoffs * slope / 2.0 - cutoffs**2 * curvature / 12.0 - energy
        self.register_buffer("coefficients", coefficients)
        # For each pair of species, [S * S] or [S * S, 4]:
        self.register_buffer("cutoffs", cutoffs)
        self.register_buffer("charges", charges)
        self.register_buffer("rates", rates)
        self.register_buffer("cubic", cubic)
        self.register_buffer("quartic", quartic)
        self.register_buffer("constant", constant)

    def forward(
        self, species: Tensor, vectors: Tensor, centers: Tensor, neighbors: Tensor, owned: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return energies of atoms, and their gradient by edge vectors.

        Every pair has two edges; each adds half of the pair's energy to its centre.

        Args:
            species: index of the species of each atom [N].
            vectors: edge vectors [E, 3] in A, float64.
            centers, neighbors: the two atoms of each edge [E].
            owned: whether the energy of an atom counts [N], bool.

        Returns:
            energies [N] (eV); gradients [E, 3] (eV/A) of their sum.
        """
        vectors = vectors.detach()
        lengths = torch.sqrt((vectors * vectors).sum(dim=1))
        pairs = species[centers] * self.n_species + species[neighbors]
        near = torch.nonzero((lengths < self.cutoffs[pairs]) & owned[centers]).squeeze(1)
        pairs, r = pairs[near], lengths[near]
        energies, slopes, _ = screened_coulomb(
            r, self.charges[pairs], self.rates[pairs], self.coefficients
        )
        cubic, quartic = self.cubic[pairs], self.quartic[pairs]
        energies = energies + (cubic / 3.0 + quartic / 4.0 * r) * r**3 + self.constant[pairs]
        slopes = slopes + (cubic + quartic * r) * r**2
        by_atom = torch.zeros(species.shape[0], dtype=vectors.dtype, device=vectors.device)
        by_atom.index_add_(0, centers[near], 0.5 * energies)
        gradients = torch.zeros_like(vectors)
        gradients.index_copy_(0, near, vectors[near] * (0.5 * slopes / r)[:, None])
        return by_atom, gradients


def pair_constants(atomic_numbers: list[int]) -> tuple[Tensor, Tensor]:
    """Return K (eV A) and a (A) of every pair of species [S * S], float64."""
    z = torch.tensor(atomic_numbers, dtype=torch.float64)
    powers = z**SCREENING_EXPONENT
    charges = COULOMB * z[:, None] * z
    lengths = SCREENING_LENGTH / (powers[:, None] + powers)
    return charges.reshape(-1), lengths.reshape(-1)
