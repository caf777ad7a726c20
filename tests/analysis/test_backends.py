"""Parallel backends give the same results as the serial one."""

import MDAnalysis as mda
import numpy as np
import pytest

from pet_driver import analysis
from tests.analysis.test_structure import gas

KEYS = {
    "RadialDistribution": ("g", "error", "count"),
    "DipoleCorrelation": ("longitudinal", "transverse", "transverse_error"),
    "OrientationalFreeEnergy": ("density", "density_error"),
    "HydrogenBonds": ("counts", "coordination", "per_molecule", "error", "mean_angle"),
    "AngularMomentum": ("angular_momentum", "modulus"),
    "Torque": ("torque", "rms"),
    "RingPolymerGyration": ("by_atom", "radius", "error"),
}
OF_RING_POLYMERS = ("AngularMomentum", "Torque", "RingPolymerGyration")


@pytest.fixture(scope="module")
def liquid() -> mda.Universe:
    return gas(frames=23)


@pytest.fixture(scope="module")
def ring_polymers(ipi_run) -> mda.Universe:
    return analysis.water_universe(
        ipi_run / "run.pos_0.xyz", centroid=True, velocities=ipi_run / "run.vel_0.xyz",
        forces=ipi_run / "run.newton_0.xyz",
    )  # fmt: skip


def assert_same_results(name: str, backend: str, universe: mda.Universe) -> None:
    observable = getattr(analysis, name)
    assert backend in observable.get_supported_backends()
    serial = observable(universe).run(step=2)
    parallel = observable(universe).run(step=2, backend=backend, n_workers=2, n_parts=3)
    for key in KEYS[name]:
        np.testing.assert_allclose(
            parallel.results[key], serial.results[key], rtol=1e-10, atol=1e-12, err_msg=key
        )
    np.testing.assert_array_equal(parallel.times, serial.times)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_multiprocessing_equals_serial(name, liquid, ring_polymers):
    universe = ring_polymers if name in OF_RING_POLYMERS else liquid
    assert_same_results(name, "multiprocessing", universe)


def test_dask_equals_serial(ring_polymers):
    """One observable: dask calls the same functions, and its workers take long to start."""
    pytest.importorskip("dask")
    assert_same_results("RingPolymerGyration", "dask", ring_polymers)
    for name in KEYS:
        assert "dask" in getattr(analysis, name).get_supported_backends()


def test_time_correlations_are_serial_only(liquid):
    for name in ("MeanSquareDisplacement", "RotationalAutocorrelation"):
        with pytest.raises(ValueError, match="parallel"):
            getattr(analysis, name)(liquid).run(backend="multiprocessing", n_workers=2)


def test_docstring_lists_all_public_names():
    for name in analysis.__all__:
        assert f":`{name}`" in analysis.__doc__, name
