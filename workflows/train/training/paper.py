"""Errors of the PET model of Langer, Pozdnyakov and Ceriotti (arXiv 2406.17747), for comparison.

Recomputed from the data archive of the paper; energies in meV, forces in meV/A.
"""

# 190 test frames of 64 molecules: energy MAE and RMSE (meV/atom), force MAE and RMSE (meV/A).
TEST_ERRORS = (74.0 / 192, 167.0 / 192, 16.6, 59.6)
TEST_FRAMES = 190
# Mean absolute deviation of the energy of a structure from the grid 3i, by grid.
ENERGY = {
    "liquid": {"0": 5.09, "i": 2.57, "2": 0.56, "2i": 0.28, "3": 0.16},
    "molecule": {"0": 2.82, "i": 1.06, "2": 0.084, "2i": 0.045, "3": 0.015},
}
# Mean absolute deviation of raw force components from the grid 3i, for ice from 2i.
FORCE = {"liquid": {"0": 2.04}, "molecule": {"0": 11.8}, "ice": {"0": 0.75}}
# Minimum of the averaged surface of one molecule.
LENGTH, ANGLE = 0.9566, 106.15  # A, degrees
