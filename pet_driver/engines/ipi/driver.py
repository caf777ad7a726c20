"""PET potential inside the i-PI process, for ``<ffdirect>`` and ``i-pi-py_driver``.

    <ffdirect name="pet">
      <pes> custom </pes>
      <pes_path> .../pet_driver_ipi_shim.py </pes_path>      printed by: pet-driver ipi --shim
      <parameters> {model: water-small, template: init.xyz, grid: 2i, device: cpu} </parameters>
    </ffdirect>

The Python client of i-PI can use it, too:

    i-pi-py_driver -m custom -P $(pet-driver ipi --shim) -u -a ADDRESS \\
        -o model=water-small,template=init.xyz

``pet-driver ipi`` is the better client: if an evaluation fails in ``i-pi-py_driver``, i-PI waits
for ever. i-PI executes the shim again for every force field; therefore this module keeps the loaded
models.
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
# By default i-PI evaluates forces in a pool of threads, each step in another one. OpenMP starts a
# team of threads for every thread that calls torch, and the teams compete for the cores. Therefore
# one thread evaluates for all of them.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pet-driver")


class PETDriver(Dummy_driver):
    """PET model as a potential of i-PI.

    The arguments are the keys of ``<parameters>``, or of ``-o`` of ``i-pi-py_driver``.

    Args:
        model: name of a shipped model or path of an archive; ``a.pt+b.pt`` is an ensemble.
        template: structure file with the elements of the simulation, in the order of i-PI (which
            sends no elements).
        grid: rotations to average over; the default is that of the archive.
        device: torch device.
        periodic: whether the cell from i-PI is periodic.
        counter: index of the first draw of a random grid. The extras hold the index that each
            evaluation used, ``rotation_counter``. The RESTART of i-PI does not hold it: to resume
            with the same rotations, give the index of the step that the run restarts from, which
            i-PI evaluates again.
        warn: force standard deviation of an ensemble (eV/A) above which a warning is printed.
        stop: force standard deviation of an ensemble (eV/A) above which i-PI ends.
        max_edges: upper bound on edges times rotations in one pass of the network, which limits
            its memory; the default depends on the device.
        verbose: as for ``i-pi-py_driver``.
        verbosity: what i-PI passes in an ``<ffdirect>`` instead of ``verbose``.

    Raises:
        PetDriverError: a parameter is unknown or missing, or its value is invalid.
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
        # i-PI converts the 2 of "grid: 2" to a number
        grid_name = None if grid is None else str(grid)
        loaded = _load(str(model), str(device), grid_name, max_edges)
        numbers = read_numbers(str(template))
        self.potential = Potential(loaded, numbers, grid_name, periodic, counter, warn, stop)
        super().__init__(verbose=bool(verbose or verbosity))

    def compute(
        self, cell: np.ndarray | list[np.ndarray], pos: np.ndarray | list[np.ndarray]
    ) -> Forces | list[Forces]:
        """Evaluate one structure, or the structures of a batch in one call of the model.

        Args:
            cell: [3, 3] in bohr, vectors in columns; a list of them for a batch.
            pos: [N, 3] in bohr; a list of them for a batch.

        Returns:
            Energy, forces, virial (hartree, bohr) and extras; a list of them for a batch.

        Raises:
            PetDriverError: as :meth:`Potential.compute`. If i-PI runs as a program, the error is
                printed and i-PI ends with exit code 1 instead.
        """
        if isinstance(cell, list) and isinstance(pos, list):
            return self._compute(cell, pos)
        return self._compute([np.asarray(cell)], [np.asarray(pos)])[0]

    def compute_structure(self, cell: np.ndarray, pos: np.ndarray) -> Forces:
        """Evaluate one structure; see :meth:`compute`."""
        return self._compute([cell], [pos])[0]

    def _compute(self, cells: list[np.ndarray], positions: list[np.ndarray]) -> list[Forces]:
        try:
            if threading.current_thread() is threading.main_thread():
                return self._evaluate(cells, positions)
            return _worker.submit(self._evaluate, cells, positions).result()
        except Exception as error:
            if softexit.hard_exit:  # i-PI runs as a program, not as a library in a Python script
                end_program(error)
            raise

    def _evaluate(self, cells: list[np.ndarray], positions: list[np.ndarray]) -> list[Forces]:
        with _lock:
            return self.potential.compute(cells, positions)


def _check_parameters(
    model: object,
    template: object,
    periodic: object,
    counter: object,
    max_edges: object,
    unknown: dict[str, object],
) -> None:
    known = ", ".join(PARAMETERS)
    if unknown:
        raise PetDriverError(
            f"unknown parameter {', '.join(map(repr, unknown))} of the PET potential; "
            f"choose from {known}"
        )
    for name, value in (("model", model), ("template", template)):
        if value is None:
            raise PetDriverError(
                f"the PET potential needs the parameter {name!r}: "
                "<parameters> {model: water-small, template: init.xyz} </parameters>"
            )
    if not isinstance(periodic, bool):
        raise PetDriverError(f"periodic: {periodic!r} is neither True nor False; give one of them")
    if isinstance(counter, bool) or not isinstance(counter, int) or counter < 0:
        raise PetDriverError(f"counter: {counter!r} is not valid; give an integer, 0 or more")
    if max_edges is not None and (type(max_edges) is not int or max_edges < 1):
        raise PetDriverError(f"max_edges: {max_edges!r} is not valid; give an integer above 0")


def _load(model: str, device: str, grid: str | None, max_edges: int | None) -> Model | Ensemble:
    keys = [(str(path.resolve()), device, max_edges) for path in resolve_all(model)]
    with _lock:
        for key in keys:
            if key not in _models:
                _models[key] = load(key[0], device=device, max_edges=max_edges)
        return unite([_models[key] for key in keys], grid)
