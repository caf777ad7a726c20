"""Observables in one pass give what each gives by itself."""

import numpy as np
import pytest
from MDAnalysis.analysis.rdf import InterRDF
from MDAnalysis.transformations.base import TransformationBase

from pet_driver import analysis
from pet_driver.errors import PetDriverError
from tests.analysis.conftest import memory_water
from tests.analysis.test_dynamics import rotors
from tests.analysis.test_structure import gas

KEYS = {
    "RadialDistribution": ("r", "g", "error", "count"),
    "DipoleCorrelation": ("longitudinal", "transverse", "transverse_error"),
    "OrientationalFreeEnergy": ("density", "density_error"),
    "HydrogenBonds": ("counts", "coordination", "error", "mean_angle"),
    "MeanSquareDisplacement": ("time", "msd", "error"),
    "RotationalAutocorrelation": ("time", "c1", "c2", "dipole", "c1_error"),
}
BACKENDS = ["serial", "multiprocessing", "dask"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_as_one_by_one(backend):
    if backend == "dask":
        pytest.importorskip("dask")
    u = rotors(frames=45)[0]
    alone = [getattr(analysis, name)(u).run(step=2) for name in KEYS]
    together = [getattr(analysis, name)(u) for name in KEYS]
    found = analysis.run_collection(together, step=2, backend=backend, n_workers=2)
    assert found is together
    for one, other in zip(alone, together, strict=True):
        name = type(one).__name__
        for key in KEYS[name]:
            np.testing.assert_allclose(
                other.results[key], one.results[key], rtol=1e-10, atol=1e-12, err_msg=name + key
            )
        np.testing.assert_array_equal(other.times, one.times)
        np.testing.assert_array_equal(other.frames, one.frames)


def test_several_universes_and_classes_of_mdanalysis():
    """Spectra from the Universe that has velocities, beside the others'."""
    u = gas(frames=12)
    random = np.random.default_rng(5)
    v = random.normal(size=(12, 192, 3)).astype(np.float32)
    moving = memory_water(u.trajectory.timeseries(order="fac"), 12.0, velocities=v)
    oxygens = u.select_atoms("element O")
    made = [
        (lambda: InterRDF(oxygens, oxygens, nbins=20, range=(0.0, 5.0)), "rdf"),
        (lambda: analysis.VibrationalDensityOfStates(moving, segment=0.08), "power"),
        (lambda: analysis.RadialDistribution(moving), "g"),
    ]
    together = [make() for make, _ in made]
    analysis.run_collection(together, backend="multiprocessing", n_workers=2)
    for (make, key), found in zip(made, together, strict=True):
        np.testing.assert_allclose(found.results[key], make().run().results[key], rtol=1e-10)


class Unparallel(TransformationBase):
    def __init__(self):
        super().__init__(max_threads=None, parallelizable=False)

    def _transform(self, ts):
        return ts


def test_wrong_requests():
    u = gas(frames=3)
    rdf = analysis.RadialDistribution(u)
    for wrong, message in (
        (([],), "at least one"),
        (([rdf, rdf],), "twice"),
    ):
        with pytest.raises(PetDriverError, match=message):
            analysis.run_collection(*wrong)
    with pytest.raises(PetDriverError, match="backend 'mpi'"):
        analysis.run_collection([rdf], backend="mpi")
    with pytest.raises(PetDriverError, match="no frames"):
        analysis.run_collection([rdf], start=3)
    with pytest.raises(PetDriverError, match="too few"):
        analysis.run_collection([rdf, analysis.RotationalAutocorrelation(u)], stop=1)
    u.trajectory.add_transformations(Unparallel())
    with pytest.raises(PetDriverError, match="cannot be parallel"):
        analysis.run_collection([rdf], backend="multiprocessing", n_workers=2)
    assert analysis.run_collection([rdf])[0].results.g.max() > 0
