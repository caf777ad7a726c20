"""Several observables in one pass over a trajectory, on several cores.

MDAnalysis (2.11) runs one observable at a time, and reads the trajectory once for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from MDAnalysis.analysis.backends import BackendDask, BackendMultiprocessing, BackendSerial
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import Results

from pet_driver.analysis.base import BlockAnalysis
from pet_driver.errors import PetDriverError

_BACKENDS = {
    "serial": BackendSerial,
    "multiprocessing": BackendMultiprocessing,
    "dask": BackendDask,
}
_TASKS_PER_WORKER = 4  # so that a worker that is done early has something to do

# observables that share a trajectory, and the frames to run: [F, 2], index in the run and frame
Task: TypeAlias = tuple[list[AnalysisBase], np.ndarray]
# results, frames and times of one observable
Part: TypeAlias = tuple[Results, np.ndarray, np.ndarray]


def run_collection(
    observables: Sequence[AnalysisBase],
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    *,
    backend: str = "serial",
    n_workers: int = 1,
) -> Sequence[AnalysisBase]:
    """Run several observables, reading each frame once for all of them.

    The results are the same as those of ``run`` of each observable::

        rdf, msd = RadialDistribution(u, "OO"), MeanSquareDisplacement(u)
        run_collection([rdf, msd], backend="multiprocessing", n_workers=2)
        rdf.results.g, msd.results.diffusion

    In parallel, observables that treat frames independently divide the frames among the workers;
    those that need consecutive frames (time correlations, spectra) run over the whole trajectory in
    one task at the same time. Observables of several Universes may be mixed; each trajectory is
    read for its own observables. Analysis classes of MDAnalysis work as well.

    Args:
        observables: the observables, not yet run.
        start: first frame, as in ``run``.
        stop: end of the frames, as in ``run``.
        step: interval between frames, as in ``run``.
        backend: ``"serial"``, ``"multiprocessing"`` or ``"dask"``.
        n_workers: number of processes.

    Returns:
        The same observables, with their results.

    Raises:
        PetDriverError: an unknown backend, no observables, an observable that is given twice, or a
            transformation of the trajectory that cannot run in parallel.
    """
    _check(observables, backend, n_workers)
    for observable in observables:
        observable._setup_frames(observable._trajectory, start, stop, step)
    n_parts = _TASKS_PER_WORKER * n_workers if backend != "serial" else 1
    tasks = _tasks(observables, n_parts, (start, stop, step))
    workers = _BACKENDS[backend](n_workers=1 if backend == "serial" else n_workers)
    done = workers.apply(_run_task, tasks)
    for observable in observables:
        parts = [
            parts[members.index(observable)]
            for (members, _), parts in zip(tasks, done, strict=True)
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
            "the trajectory has a transformation that cannot run in parallel; use backend='serial'"
        )


def _tasks(
    observables: Sequence[AnalysisBase],
    n_parts: int,
    limits: tuple[int | None, int | None, int | None],
) -> list[Task]:
    """Return the tasks, the longest first."""
    groups: dict[int, list[AnalysisBase]] = {}
    for observable in observables:
        groups.setdefault(id(observable._trajectory), []).append(observable)
    tasks: list[Task] = []
    for members in groups.values():
        frames = members[0]._setup_computation_groups
        parallel = [m for m in members if m.parallelizable] if n_parts > 1 else []
        serial = [m for m in members if m not in parallel]
        if serial:
            tasks.insert(0, (serial, frames(1, *limits)[0]))
        if parallel:
            n_frames = members[0].n_frames
            parts = frames(min(n_parts, max(n_frames, 1)), *limits)
            tasks.extend((parallel, part) for part in parts)
    return tasks


def _run_task(task: Task) -> list[Part]:
    """Run a task in a worker and return the results of each of its observables."""
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
    # a copy, because tasks that are sent to a worker together share their observables
    return [(o.results.copy(), o.frames, o.times) for o in observables]


def _conclude(observable: AnalysisBase, parts: list[Part]) -> None:
    observable.frames = np.hstack([frames for _, frames, _ in parts])
    observable.times = np.hstack([times for _, _, times in parts])
    if observable.parallelizable:
        observable.results = observable._get_aggregator().merge(
            [results for results, _, _ in parts]
        )
        observable._conclude()
    else:
        observable.results = parts[0][0]
