"""Trajectories and observables, as MDAnalysis classes. Importing this registers the readers.

| name | what |
|---|---|
| ``IPIReader``, ``IPIParser`` | MDAnalysis formats "IPI" and "EXTXYZ": xyz, ase, pdb, bin of i-PI |
| ``TrajectoryFile`` | one i-PI file as a sequence of frames, of any quantity |
| ``RestartedDumpReader`` | MDAnalysis format "RESTARTEDDUMP": LAMMPS dumps of restarted runs |
| ``water_universe`` | a Universe with molecules as residues, from i-PI or LAMMPS |
| ``PropertyFile``, ``LAMMPSLog``, ``PropertyTable`` | columns of ``.out`` files and logs |
| ``ExtrasFile`` | i-PI's extras: raw energy, spread over rotations, ... by step |
| ``conserved_drift``, ``linear_drift``, ``Drift`` | drift of the conserved quantity |
| ``AngularMomentum`` | of each molecule, or of the whole group |
| ``Torque`` | on each molecule, or on the whole group |
| ``RadialDistribution`` | g_OO, g_OH, g_HH |
| ``DipoleCorrelation`` | longitudinal and transverse c_uu(r)/g(r) |
| ``OrientationalFreeEnergy`` | F(cos theta, phi) and its density |
| ``MeanSquareDisplacement``, ``Diffusion`` | and the diffusion coefficient |
| ``RotationalAutocorrelation`` | C1, C2 of single molecules, and of the total dipole |
| ``power_spectrum``, ``Spectrum`` | of a scalar series |
| ``VibrationalDensityOfStates`` | of the velocities |
| ``HydrogenBonds`` | number and coordination |
| ``RingPolymerGyration`` | radius of gyration by element |
| ``quantum_kinetic_energy``, ``KineticEnergy`` | by element, of ring polymers |
| ``equivariance_error``, ``EquivarianceError`` | raw minus averaged energy along a run |
| ``run_collection`` | several observables in one pass over the file, on several cores |
"""

from pet_driver.analysis.angular_momentum import AngularMomentum
from pet_driver.analysis.autocorrelation import RotationalAutocorrelation
from pet_driver.analysis.collection import run_collection
from pet_driver.analysis.dipole_correlation import DipoleCorrelation
from pet_driver.analysis.displacement import Diffusion, MeanSquareDisplacement
from pet_driver.analysis.drift import Drift, conserved_drift, linear_drift
from pet_driver.analysis.equivariance import EquivarianceError, equivariance_error
from pet_driver.analysis.extras_file import ExtrasFile
from pet_driver.analysis.gyration import RingPolymerGyration
from pet_driver.analysis.hydrogen_bonds import HydrogenBonds
from pet_driver.analysis.ipi_file import TrajectoryFile
from pet_driver.analysis.kinetic import KineticEnergy, quantum_kinetic_energy
from pet_driver.analysis.lammps_reader import RestartedDumpReader
from pet_driver.analysis.orientation import OrientationalFreeEnergy
from pet_driver.analysis.properties import LAMMPSLog, PropertyFile, PropertyTable
from pet_driver.analysis.radial_distribution import RadialDistribution
from pet_driver.analysis.reader import IPIParser, IPIReader
from pet_driver.analysis.spectrum import Spectrum, VibrationalDensityOfStates, power_spectrum
from pet_driver.analysis.torque import Torque
from pet_driver.analysis.water import water_universe

__all__ = [
    "AngularMomentum",
    "Diffusion",
    "DipoleCorrelation",
    "Drift",
    "EquivarianceError",
    "ExtrasFile",
    "HydrogenBonds",
    "IPIParser",
    "IPIReader",
    "KineticEnergy",
    "LAMMPSLog",
    "MeanSquareDisplacement",
    "OrientationalFreeEnergy",
    "PropertyFile",
    "PropertyTable",
    "RadialDistribution",
    "RestartedDumpReader",
    "RingPolymerGyration",
    "RotationalAutocorrelation",
    "Spectrum",
    "Torque",
    "TrajectoryFile",
    "VibrationalDensityOfStates",
    "conserved_drift",
    "equivariance_error",
    "linear_drift",
    "power_spectrum",
    "quantum_kinetic_energy",
    "run_collection",
    "water_universe",
]
