"""Conversion from the units of i-PI and LAMMPS to those of MDAnalysis, and physical constants.

MDAnalysis uses A, ps, A/ps, kJ/(mol A) and amu; the observables report in A, fs, ps and eV.
Constants are CODATA 2018; the ratio of eV to kJ/mol is that of MDAnalysis, so that a force written
in eV/A is recovered exactly. i-PI's own table (``ipi.utils.units``) is in an optional dependency.
"""

from __future__ import annotations

import re

from MDAnalysis.units import energyUnit_factor

from pet_driver.errors import PetDriverError

EV_TO_KJ_MOL = 1.0 / energyUnit_factor["eV"]
BOHR_TO_A = 0.529177210903
HARTREE_TO_EV = 27.211386245988
ATOMIC_TIME_TO_PS = 2.4188843265857e-5
BOLTZMANN_EV = 8.617333262e-5
AMU_A2_PS2_TO_EV = 1.66053906660e-23 / 1.602176634e-19
AMU_A2_PS_TO_EV_FS = AMU_A2_PS2_TO_EV * 1000.0

_NEWTON_TO_EV_A = 1.0e-10 / 1.602176634e-19
_ASE_SPEED_TO_A_PS = AMU_A2_PS2_TO_EV**-0.5  # sqrt(eV/amu)

# by dimension: unit -> its value in the unit used here (A, A/ps, kJ/(mol A), eV, ps, K, A^3)
_ATOMIC = ("", "automatic", "atomic_unit")
_TABLE: dict[str, dict[str, float]] = {
    "length": {"angstrom": 1.0, "ase": 1.0, "meter": 1.0e10, "atomic_unit": BOHR_TO_A},
    "velocity": {
        "m/s": 0.01,
        "ase": _ASE_SPEED_TO_A_PS,
        "atomic_unit": BOHR_TO_A / ATOMIC_TIME_TO_PS,
    },
    "force": {
        "ev/ang": EV_TO_KJ_MOL,
        "ase": EV_TO_KJ_MOL,
        "newton": _NEWTON_TO_EV_A * EV_TO_KJ_MOL,
        "atomic_unit": HARTREE_TO_EV / BOHR_TO_A * EV_TO_KJ_MOL,
    },
    "energy": {
        "electronvolt": 1.0,
        "ase": 1.0,
        "atomic_unit": HARTREE_TO_EV,
        "kelvin": BOLTZMANN_EV,
        "j/mol": 1.0e-3 / EV_TO_KJ_MOL,
        "cal/mol": 4.184e-3 / EV_TO_KJ_MOL,
    },
    "time": {"second": 1.0e12, "atomic_unit": ATOMIC_TIME_TO_PS},
    "temperature": {
        "kelvin": 1.0,
        "ase": 1.0,
        "atomic_unit": HARTREE_TO_EV / BOLTZMANN_EV,
    },
    "volume": {"angstrom3": 1.0, "ase": 1.0, "atomic_unit": BOHR_TO_A**3},
    "undefined": {"atomic_unit": 1.0, "ase": 1.0},
}
_PREFIX = {
    "yotta": 1e24, "zetta": 1e21, "exa": 1e18, "peta": 1e15, "tera": 1e12, "giga": 1e9, "mega": 1e6,
    "kilo": 1e3, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9, "pico": 1e-12, "femto": 1e-15,
    "atto": 1e-18, "zepto": 1e-21, "yocto": 1e-24,
}  # fmt: skip
_PREFIXED = re.compile(f"({'|'.join(_PREFIX)})(.+)")


def factor(dimension: str, unit: str, where: str = "") -> float:
    """Return the value of a unit of i-PI in the unit used here.

    Args:
        dimension: ``"length"`` (A), ``"velocity"`` (A/ps), ``"force"`` (kJ/(mol A)), ``"energy"``
            (eV), ``"time"`` (ps), ``"temperature"`` (K), ``"volume"`` (A^3) or ``"undefined"``
            (factor 1).
        unit: i-PI's name, with or without a prefix ("picosecond"); empty means atomic units.
        where: name of the file, for the message.

    Raises:
        PetDriverError: a unit that i-PI does not have.
    """
    table = _TABLE[dimension]
    name = unit.strip().lower()
    if name in _ATOMIC:
        return table["atomic_unit"]
    if name in table:
        return table[name]
    match = _PREFIXED.fullmatch(name)
    if match is not None and match.group(2) in table:
        return _PREFIX[match.group(1)] * table[match.group(2)]
    place = f"{where}: " if where else ""
    if dimension == "undefined":
        raise PetDriverError(
            f"{place}unit '{unit}' of an unknown quantity; the names are those of i-PI, such as "
            "positions, velocities and forces"
        )
    raise PetDriverError(
        f"{place}unknown unit '{unit}' for a {dimension}; "
        f"use one of {', '.join(table)} (with a prefix such as 'femto' where it makes sense)"
    )
