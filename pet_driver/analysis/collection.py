"""Several observables in one pass over a trajectory, on several cores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from MDAnalysis.analysis.backends import BackendDask, BackendMultiprocessing, BackendSerial
from MDAnalysis.analysis.base import AnalysisBase

from pet_driver.analysis.base import BlockAnalysis
from pet_driver.errors import PetDriverError

_BACKENDS = {
    "serial": BackendSerial,
    "multiprocessing": BackendMultiprocessing,
    "dask": BackendDask,
}
_PARTS_OF_A_WORKER = 4  # the last ones fill the time in which others are still busy


def run_collection(
    observables: Sequence[AnalysisBase],
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    *,
    backend: str = "serial",
    n_workers: int = 1,
) -> Sequence[AnalysisBase]:
    """Run observables that look at the same frames; each frame is read once for all of them.

        rdf, msd = RadialDistribution(u, "OO"), MeanSquareDisplacement(u)
        run_collection([rdf, msd], backend="multiprocessing", n_workers=2)
        rdf.results.g, msd.results.diffusion

    The results are those of ``run``. In parallel, observables whose frames are independent share
    out the frames; those that need them in succession (time correlations, spectra) go along the
    whole trajectory in one task, beside the others. Observables of several Universes may be mixed:
    each Universe is read for its own. Classes of MDAnalysis serve too.

    Args:
        observables: made, not yet run.
        start, stop, step: as in ``run``.
        backend: ``"serial"``, ``"multiprocessing"`` or ``"dask"``.
        n_workers: processes.

    Returns:
        the same observables, with their results.

    Raises:
        PetDriverError: an unknown backend, no observables, one that is given twice, or
            transformations of the trajectory that cannot be parallel.
    """
    _check(observables, backend, n_workers)
    for observable in observables:
        observable._setup_frames(observable._trajectory, start, stop, step)
    n_parts = _PARTS_OF_A_WORKER * n_workers if backend != "serial" else 1
    tasks = _tasks(observables, n_parts, (start, stop, step))
    workers = _BACKENDS[backend](n_workers=1 if backend == "serial" else n_workers)
    done = workers.apply(_work, [task for _, task in tasks])
    for observable in observables:
        parts = [
            found[members.index(observable)]
            for (members, _), found in zip(tasks, done, strict=True)
            if observable in members
        ]
        _conclude(observable, parts)
    return observables


def _check(observables: Sequence[AnalysisBase], backend: str, n_workers: int) -> None:
    if backend not in _BACKENDS:
        raise PetDriverError(f"unknown backend {backend!r}; use one of {', '.join(_BACKENDS)}")
    if len(observables) == 0 or n_workers < 1:
        raise PetDriverError("give at least one observable, and at least one worker")
    if len({id(observable) for observable in observables}) < len(observables):
        raise PetDriverError("an observable is given twice; it would count each frame twice")
    changes = [t for o in observables for t in o._trajectory.transformations]
    if backend != "serial" and not all(change.parallelizable for change in changes):
        raise PetDriverError(
            "the trajectory has a transformation that cannot be parallel; use backend='serial'"
        )


Task = tuple[list[AnalysisBase], np.ndarray]


def _tasks(observables, n_parts: int, limits) -> list[tuple[list[AnalysisBase], Task]]:
    """Which observables go through which frames together."""
    groups: dict[int, list[AnalysisBase]] = {}
    for observable in observables:
        groups.setdefault(id(observable._trajectory), []).append(observable)
    tasks = []
    for members in groups.values():
        frames = members[0]._setup_computation_groups
        free = [m for m in members if m.parallelizable] if n_parts > 1 else []
        bound = [m for m in members if m not in free]
        if bound:
            # the longest first
            tasks.insert(0, (bound, (bound, frames(1, *limits)[0])))
        if free:
            n_frames = members[0].n_frames
            parts = frames(min(n_parts, max(n_frames, 1)), *limits)
            tasks.extend((free, (free, part)) for part in parts)
    return tasks


def _work(task: Task) -> list[tuple]:
    """Results, frames and times of each observable of a task."""
    observables, indexed = task
    for observable in observables:
        if isinstance(observable, BlockAnalysis):
            observable._run_index = indexed[:, 0]
        observable._prepare_sliced_trajectory(slicer=indexed[:, 1])
        observable._prepare()
    for index, ts in enumerate(observables[0]._trajectory[indexed[:, 1]]):
        for observable in observables:
            observable._frame_index, observable._ts = index, ts
            observable.frames[index], observable.times[index] = ts.frame, ts.time
            observable._single_frame()
    for observable in observables:
        if not observable.parallelizable:
            observable._conclude()
    # a copy: tasks that reach a worker as one parcel share their observables
    return [(o.results.copy(), o.frames, o.times) for o in observables]


def _conclude(observable: AnalysisBase, parts: list[tuple]) -> None:
    results = [part[0] for part in parts]
    observable.frames = np.hstack([part[1] for part in parts])
    observable.times = np.hstack([part[2] for part in parts])
    if observable.parallelizable:
        observable.results = observable._get_aggregator().merge(results)
        observable._conclude()
    else:
        observable.results = results[0]
