"""The notation of grids of rotations, the same in Python, in the archive and in every engine.

    BASE [+random] [-each] [@SEED]
    ecse[i] [-pooled]

``BASE`` is a set of rotations (see :mod:`pet_driver.symmetry.grids`); ``+random`` turns the whole
set by one random rotation; ``-each`` draws for every structure of a batch, not once for all;
``@SEED`` chooses the sequence of random rotations. ``ecse`` stands for the exact symmetrization
(see :mod:`pet_driver.symmetry.ecse`): each atom is seen in frames of its own, or with ``-pooled``
the structure in those of all its atoms. No part of it means anything to a shell, to the parameters
of i-PI or to the input of LAMMPS.
"""

from typing import NamedTuple

# Values of GridName.frames.
NO_FRAMES, BY_ENVIRONMENT, POOLED = 0, 1, 2


class GridName(NamedTuple):
    """A name taken apart.

    Attributes:
        base: the set of rotations, without what follows it; those that go with frames.
        random: whether the rotations change from call to call.
        turned: whether the whole set is turned at random.
        each: whether every structure of a batch has its own rotations.
        seed: of the random rotations.
        frames: 0 none, 1 frames by environment, 2 pooled over the structure.
        valid: whether what follows the base makes sense; the base itself is not looked at.
    """

    base: str
    random: bool
    turned: bool
    each: bool
    seed: int
    frames: int
    valid: bool


def parse_grid_name(name: str) -> GridName:
    """Take the name of a grid apart (this is TorchScript too, hence its plain style)."""
    base, seed, seeded, valid = name, 0, False, True
    at = name.find("@")
    if at >= 0:
        digits = name[at + 1 :]
        base, seeded = name[:at], True
        valid = digits.isdigit() and len(digits) <= 18  # within int64
        if valid:
            seed = int(digits)
    each = base.endswith("-each")
    if each:
        base = base[: len(base) - 5]
    turned = base.endswith("+random")
    if turned:
        base = base[: len(base) - 7]
    drawn = base.startswith("random")
    if (drawn and turned) or ((each or seeded) and not (drawn or turned)):
        valid = False
    frames = 0
    if base.startswith("ecse"):
        valid = valid and not turned
        frames = 2 if base.endswith("-pooled") else 1
        if frames == 2:
            base = base[: len(base) - 7]
        # With the frames goes the identity, or the identity and the inversion.
        base = base[4:]
        base = "0" if base == "" else base if base == "i" else "unknown"
    return GridName(base, drawn or turned, turned, each, seed, frames, valid)


def draws(name: str, n_structures: int) -> int:
    """By how much one call for ``n_structures`` advances the counter of random rotations."""
    parsed = parse_grid_name(name)
    if not parsed.random:
        return 0
    return n_structures if parsed.each else 1
