"""Serial, multiprocessing and dask give the same numbers."""

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


@pytest.fixture(scope="module")
def liquid():
    return gas(frames=23)


def universe_for(name, liquid, ipi_run):
    if name in ("RadialDistribution", "DipoleCorrelation", "OrientationalFreeEnergy",
                "HydrogenBonds"):  # fmt: skip
        return liquid
    return analysis.water_universe(
        ipi_run / "run.pos_0.xyz", centroid=True, velocities=ipi_run / "run.vel_0.xyz",
        forces=ipi_run / "run.newton_0.xyz",
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["multiprocessing", "dask"])
@pytest.mark.parametrize("name", sorted(KEYS))
def test_same_numbers(name, backend, liquid, ipi_run):
    if backend == "dask":
        pytest.importorskip("dask")
    observable, u = getattr(analysis, name), universe_for(name, liquid, ipi_run)
    assert backend in observable.get_supported_backends()
    serial = observable(u).run(step=2)
    parallel = observable(u).run(step=2, backend=backend, n_workers=2, n_parts=3)
    for key in KEYS[name]:
        np.testing.assert_allclose(
            parallel.results[key], serial.results[key], rtol=1e-10, atol=1e-12, err_msg=key
        )
    np.testing.assert_array_equal(parallel.times, serial.times)


def test_dependent_frames_are_serial_only(liquid):
    for name in ("MeanSquareDisplacement", "RotationalAutocorrelation"):
        with pytest.raises(ValueError, match="parallel"):
            getattr(analysis, name)(liquid).run(backend="multiprocessing", n_workers=2)


def test_table_names_what_is_exported():
    for name in analysis.__all__:
        assert f"``{name}``" in analysis.__doc__, name
