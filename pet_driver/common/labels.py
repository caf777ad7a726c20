"""Atom labels of i-PI: elements, isotopes and masses.

i-PI's own table (``ipi.utils.units.Elements``) is in an optional dependency. ASE knows no isotopes,
and MDAnalysis' masses lack several elements.
"""

from __future__ import annotations

import re

# Labels that are not the symbol of their element: isotopes (Z is a mixture of H and D), and
# provisional names of elements.
ISOTOPES = {
    "D": "H", "T": "H", "Z": "H", "H2": "H", "C13": "C", "C14": "C", "O17": "O", "O18": "O",
    "Cl37": "Cl", "Br81": "Br", "Uut": "Nh", "Uup": "Mc", "Uus": "Ts", "Uuo": "Og",
}  # fmt: skip

# in amu, so that momenta and temperatures are those of the run
MASSES = {
    "H": 1.00794, "Z": 1.382943, "D": 2.0141, "H2": 2.016, "T": 3.016049, "He": 4.002602,
    "Li": 6.941, "Be": 9.012182, "B": 10.811, "C": 12.0107, "C13": 13.00335, "C14": 14.003241,
    "N": 14.00674, "O": 15.9994, "O17": 16.9991315, "O18": 17.999161, "F": 18.998403,
    "Ne": 20.1797, "Na": 22.98977, "Mg": 24.305, "Al": 26.981538, "Si": 28.0855, "P": 30.973761,
    "S": 32.066, "Cl": 35.4527, "Cl37": 36.96590259, "Ar": 39.948, "K": 39.0983, "Ca": 40.078,
    "Sc": 44.95591, "Ti": 47.867, "V": 50.9415, "Cr": 51.9961, "Mn": 54.938049, "Fe": 55.845,
    "Co": 58.9332, "Ni": 58.6934, "Cu": 63.546, "Zn": 65.39, "Ga": 69.723, "Ge": 72.61,
    "As": 74.9216, "Se": 78.96, "Br": 79.904, "Br81": 80.9163, "Kr": 83.8, "Rb": 85.4678,
    "Sr": 87.62, "Y": 88.90585, "Zr": 91.224, "Nb": 92.90638, "Mo": 95.94, "Tc": 98, "Ru": 101.07,
    "Rh": 102.9055, "Pd": 106.42, "Ag": 107.8682, "Cd": 112.411, "In": 114.818, "Sn": 118.71,
    "Sb": 121.76, "Te": 127.6, "I": 126.90447, "Xe": 131.29, "Cs": 132.90545, "Ba": 137.327,
    "La": 138.9055, "Ce": 140.166, "Pr": 140.90765, "Nd": 144.24, "Pm": 145, "Sm": 150.36,
    "Eu": 151.964, "Gd": 157.25, "Tb": 158.92534, "Dy": 162.5, "Ho": 164.93032, "Er": 167.26,
    "Tm": 168.93241, "Yb": 173.04, "Lu": 174.967, "Hf": 178.49, "Ta": 180.9479, "W": 183.84,
    "Re": 186.207, "Os": 190.23, "Ir": 192.217, "Pt": 195.078, "Au": 196.96655, "Hg": 200.59,
    "Tl": 204.3833, "Pb": 207.2, "Bi": 208.98038, "Po": 209, "At": 210, "Rn": 222, "Fr": 223,
    "Ra": 226, "Ac": 227, "Th": 232.0381, "Pa": 231.03588, "U": 238.0289, "Np": 237, "Pu": 244,
    "Am": 243, "Cm": 247, "Bk": 247, "Cf": 251, "Es": 252, "Fm": 257, "Md": 258, "No": 259,
    "Lr": 262, "Rf": 267, "Db": 268, "Sg": 269, "Bh": 270, "Hs": 269, "Mt": 278, "Ds": 281,
    "Rg": 280, "Cn": 285, "Uut": 286, "Fl": 289, "Uup": 288, "Lv": 293, "Uus": 294, "Uuo": 294,
}  # fmt: skip

_AT_LINE_START = re.compile(
    rf"^([ \t]*)({'|'.join(sorted(ISOTOPES, key=len, reverse=True))})(?=[ \t])", re.MULTILINE
)


def element_of(label: str) -> str:
    """Return the element of an atom label: of an isotope, or of a symbol followed by digits."""
    if label in ISOTOPES:
        return ISOTOPES[label]
    symbol = label.rstrip("0123456789_").capitalize()
    return ISOTOPES.get(symbol, symbol)


def mass_of(label: str) -> float:
    """Return the mass in amu that i-PI gives to an atom label, 0 for an unknown one."""
    return MASSES.get(label, MASSES.get(label.capitalize(), 0.0))


def isotopes_to_elements(text: str) -> str:
    """Replace isotopes at the start of the lines of an xyz file by their elements."""
    return _AT_LINE_START.sub(lambda match: match[1] + ISOTOPES[match[2]], text)
