"""Observables that run in one pass give the same results as each of them alone."""

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
def test_collection_equals_single_runs(backend):
    if backend == "dask":
        pytest.importorskip("dask")
    u = rotors(frames=45)[0]
    singles = [getattr(analysis, name)(u).run(step=2) for name in KEYS]
    observables = [getattr(analysis, name)(u) for name in KEYS]
    returned = analysis.run_collection(observables, step=2, backend=backend, n_workers=2)
    assert returned is observables
    for single, observable in zip(singles, observables, strict=True):
        name = type(single).__name__
        for key in KEYS[name]:
            np.testing.assert_allclose(
                observable.results[key], single.results[key], rtol=1e-10, atol=1e-12,
                err_msg=name + key,
            )  # fmt: skip
        np.testing.assert_array_equal(observable.times, single.times)
        np.testing.assert_array_equal(observable.frames, single.frames)


def test_several_universes_and_classes_of_mdanalysis():
    u = gas(frames=12)
    random = np.random.default_rng(5)
    v = random.normal(size=(12, 192, 3)).astype(np.float32)
    moving = memory_water(u.trajectory.timeseries(order="fac"), 12.0, velocities=v)
    oxygens = u.select_atoms("element O")
    factories = [
        (lambda: InterRDF(oxygens, oxygens, nbins=20, range=(0.0, 5.0)), "rdf"),
        (lambda: analysis.VibrationalDensityOfStates(moving, segment=0.08), "power"),
        (lambda: analysis.RadialDistribution(moving), "g"),
    ]
    observables = [create() for create, _ in factories]
    analysis.run_collection(observables, backend="multiprocessing", n_workers=2)
    for (create, key), observable in zip(factories, observables, strict=True):
        single = create().run()
        np.testing.assert_allclose(observable.results[key], single.results[key], rtol=1e-10)


class SerialOnlyTransformation(TransformationBase):
    def __init__(self):
        super().__init__(max_threads=None, parallelizable=False)

    def _transform(self, ts):
        return ts


def test_errors():
    u = gas(frames=3)
    rdf = analysis.RadialDistribution(u)
    for observables, message in (([], "at least one"), ([rdf, rdf], "twice")):
        with pytest.raises(PetDriverError, match=message):
            analysis.run_collection(observables)
    with pytest.raises(PetDriverError, match="backend 'mpi'"):
        analysis.run_collection([rdf], backend="mpi")
    with pytest.raises(PetDriverError, match="no frames"):
        analysis.run_collection([rdf], start=3)
    with pytest.raises(PetDriverError, match="too few"):
        analysis.run_collection([rdf, analysis.RotationalAutocorrelation(u)], stop=1)
    u.trajectory.add_transformations(SerialOnlyTransformation())
    with pytest.raises(PetDriverError, match="cannot run in parallel"):
        analysis.run_collection([rdf], backend="multiprocessing", n_workers=2)
    assert analysis.run_collection([rdf])[0].results.g.max() > 0
