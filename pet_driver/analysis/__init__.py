"""Trajectory readers and observables for MDAnalysis.

Importing this package registers the readers with MDAnalysis.

Readers:

- :class:`IPIReader`, :class:`IPIParser`: MDAnalysis formats "IPI" and "EXTXYZ", for i-PI's xyz,
  ase, pdb and bin
- :class:`TrajectoryFile`: random access to the frames of one i-PI file, of any quantity
- :class:`RestartedDumpReader`: MDAnalysis format "RESTARTEDDUMP", for LAMMPS dumps of restarted
  runs
- :func:`water_universe`: Universe with molecules as residues, from i-PI or LAMMPS
- :class:`PropertyFile`, :class:`LAMMPSLog`, :class:`PropertyTable`: columns of property files and
  logs
- :class:`ExtrasFile`: i-PI's extras, such as the raw energy and the standard deviation over
  rotations

Observables of a trajectory:

- :class:`AngularMomentum`: angular momentum of each molecule, or of all atoms
- :class:`Torque`: torque on each molecule, or on all atoms
- :class:`RadialDistribution`: radial distribution functions g_OO, g_OH, g_HH
- :class:`DipoleCorrelation`: longitudinal and transverse dipole correlation c_uu(r)/g(r)
- :class:`OrientationalFreeEnergy`: orientational free energy F(cos theta, phi) and density
- :class:`MeanSquareDisplacement`, :class:`Diffusion`: mean-square displacement and diffusion
  coefficient
- :class:`RotationalAutocorrelation`: C1 and C2 of single molecules, and of the total dipole
- :class:`VibrationalDensityOfStates`: power spectrum of the velocities
- :class:`HydrogenBonds`: number and geometry of hydrogen bonds
- :class:`RingPolymerGyration`: radius of gyration of ring polymers by element
- :func:`run_collection`: several observables in one pass over a trajectory, on several cores

Observables of a time series:

- :func:`conserved_drift`, :func:`linear_drift`, :class:`Drift`: drift of the conserved quantity
- :func:`power_spectrum`, :class:`Spectrum`: power spectrum of a scalar series
- :func:`quantum_kinetic_energy`, :class:`KineticEnergy`: kinetic energy of ring polymers by element
- :func:`equivariance_error`, :class:`EquivarianceError`: raw minus averaged energy along a run
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
from pet_driver.analysis.lammps_log import LAMMPSLog
from pet_driver.analysis.lammps_reader import RestartedDumpReader
from pet_driver.analysis.orientation import OrientationalFreeEnergy
from pet_driver.analysis.properties import PropertyFile, PropertyTable
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
