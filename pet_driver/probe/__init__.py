"""Symmetry probe: how a potential depends on the orientation of a structure."""

from pet_driver.probe.components import Components, rotational_components
from pet_driver.probe.curie import CurieTest, curie_test
from pet_driver.probe.degenerate import degenerate_pair, distances_coincide
from pet_driver.probe.deviations import GridDeviation, Recommendation, recommend
from pet_driver.probe.output import write_probe
from pet_driver.probe.run import Probe, probe

__all__ = [
    "Components",
    "CurieTest",
    "GridDeviation",
    "Probe",
    "Recommendation",
    "curie_test",
    "degenerate_pair",
    "distances_coincide",
    "probe",
    "recommend",
    "rotational_components",
    "write_probe",
]
