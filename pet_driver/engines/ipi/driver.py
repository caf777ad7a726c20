"""PET inside i-PI's own process: the class behind ``<ffdirect>`` and ``i-pi-py_driver``.

    <ffdirect name="pet">
      <pes> custom </pes>
      <pes_path> pet_driver_ipi_shim.py </pes_path>          (pet-driver ipi --shim)
      <parameters> {model: water-small, template: init.xyz, grid: 2i, device: cpu} </parameters>
    </ffdirect>

``i-pi-py_driver -m custom -P pet_driver_ipi_shim.py -o model=...,template=...`` takes it too, but
where an evaluation fails there i-PI waits for ever: ``pet-driver ipi`` is the client that tells it.
i-PI executes the shim anew for every force field; the models live here and are loaded once.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ipi.pes.dummy import Dummy_driver
from ipi.utils.softexit import softexit

from pet_driver.engines.ipi import PARAMETERS
from pet_driver.engines.ipi.ending import end_program
from pet_driver.engines.ipi.potential import Potential, read_numbers
from pet_driver.engines.ipi.protocol import Forces
from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble, unite
from pet_driver.model.evaluator import Model, load
from pet_driver.model.shipped import resolve_all

_models: dict[tuple[str, str, int | None], Model] = {}
_lock = threading.Lock()
# By default i-PI asks for forces from a pool of threads, from another one at every step. torch
# raises a team of threads for each that calls it, and the teams stand in each other's way: here one
# thread works for all of them.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pet-driver")


class PETDriver(Dummy_driver):
    """A PET model as an i-PI potential.

    The arguments are what stands in ``<parameters>`` or behind ``-o``.

    Args:
        model: a shipped model's name or the path of an archive; an ensemble of them: ``a.pt+b.pt``.
        template: structure file whose elements, in i-PI's order, are used (i-PI sends none).
        grid: rotations to average over; left out, the archive's default.
        device: torch device.
        periodic: whether the cell that i-PI sends repeats in space.
        counter: the first draw of a random grid; the extras name the one that each evaluation had.
            i-PI's RESTART does not hold it: to resume with the same rotations, give the counter of
            the step that is restarted from, which i-PI evaluates again.
        warn: force standard deviation of an ensemble (eV/A) above which there is a warning.
        stop: force standard deviation of an ensemble (eV/A) above which i-PI ends.
        max_edges: bound on edges times rotations in one pass, hence on memory; left out, it goes by
            the device.

    Raises:
        PetDriverError: an unknown parameter, or a value that cannot be used.
    """

    def __init__(
        self,
        model: str | None = None,
        template: str | None = None,
        grid: str | int | None = None,
        device: str = "cpu",
        periodic: bool = True,
        counter: int = 0,
        warn: float | None = None,
        stop: float | None = None,
        max_edges: int | None = None,
        verbose: bool = False,
        verbosity: bool = False,
        **unknown: object,
    ) -> None:
        _check_parameters(model, template, periodic, counter, max_edges, unknown)
        # i-PI turns the 2 of "grid: 2" into a number
        name = None if grid is None else str(grid)
        loaded = _load(str(model), str(device), name, max_edges)
        numbers = read_numbers(str(template))
        self.potential = Potential(loaded, numbers, name, periodic, counter, warn, stop)
        super().__init__(verbose=bool(verbose or verbosity))

    def compute(
        self, cell: np.ndarray | list[np.ndarray], pos: np.ndarray | list[np.ndarray]
    ) -> Forces | list[Forces]:
        """Energy, forces, virial and extras of one structure, or of a list in one pass.

        All are in bohr and hartree.

        Args:
            cell: [3, 3], vectors in columns.
            pos: [N, 3].
        """
        if isinstance(cell, list):
            return self._compute(cell, pos)
        return self._compute([cell], [pos])[0]

    def compute_structure(self, cell: np.ndarray, pos: np.ndarray) -> Forces:
        """As :meth:`compute`, for one structure."""
        return self._compute([cell], [pos])[0]

    def _compute(self, cells: list[np.ndarray], positions: list[np.ndarray]) -> list[Forces]:
        try:
            if threading.current_thread() is threading.main_thread():
                return self._evaluate(cells, positions)
            return _worker.submit(self._evaluate, cells, positions).result()
        except Exception as error:
            if softexit.hard_exit:  # i-PI runs as a program, not inside somebody's Python
                end_program(error)
            raise

    def _evaluate(self, cells: list[np.ndarray], positions: list[np.ndarray]) -> list[Forces]:
        with _lock:
            return self.potential.compute(cells, positions)


def _check_parameters(
    model, template, periodic, counter, max_edges, unknown: dict[str, object]
) -> None:
    known = ", ".join(PARAMETERS)
    if unknown:
        raise PetDriverError(
            f"unknown parameter {', '.join(map(repr, unknown))} of the PET potential; "
            f"it knows {known}"
        )
    for name, value in (("model", model), ("template", template)):
        if value is None:
            raise PetDriverError(
                f"the PET potential needs the parameter {name!r}, e.g. "
                "<parameters> {model: water-small, template: init.xyz} </parameters>"
            )
    if not isinstance(periodic, bool):
        raise PetDriverError(f"periodic: {periodic!r} is neither True nor False")
    if isinstance(counter, bool) or not isinstance(counter, int) or counter < 0:
        raise PetDriverError(f"counter: {counter!r} is no whole number from 0 on")
    if max_edges is not None and (type(max_edges) is not int or max_edges < 1):
        raise PetDriverError(f"max_edges: {max_edges!r} is no whole number above zero")


def _load(model: str, device: str, grid: str | None, max_edges: int | None) -> Model | Ensemble:
    keys = [(str(path.resolve()), device, max_edges) for path in resolve_all(model)]
    with _lock:
        for key in keys:
            if key not in _models:
                _models[key] = load(key[0], device=device, max_edges=max_edges)
        return unite([_models[key] for key in keys], grid)
