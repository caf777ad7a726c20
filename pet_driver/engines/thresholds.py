"""Thresholds on the force standard deviation of an ensemble.

PETCalculator("a.pt+b.pt", warn=0.2, stop=1.0)                                    # ASE
<parameters> {model: a.pt+b.pt, template: init.xyz, warn: 0.2, stop: 1.0} </parameters>
pet-driver ipi a.pt+b.pt -t init.xyz -a ADDRESS -u --warn 0.2 --stop 1.0          # i-PI
pair_style pet a.pt+b.pt warn 0.2 stop 1.0                                        # LAMMPS
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model


class Thresholds:
    """Upper bounds on the force standard deviation of any atom: one to warn, one to stop.

    Args:
        model: the model that is evaluated; it must be an ensemble if a threshold is given.
        warn: eV/A; above it a warning is reported, and another one each time the largest force
            standard deviation has doubled since the last warning. ``None`` means never.
        stop: eV/A; above it an error is raised. ``None`` means never.

    Raises:
        PetDriverError: a threshold is given for a single model or is not a positive number, or
            ``warn`` is above ``stop``.
    """

    def __init__(
        self, model: Model | Ensemble, warn: float | None = None, stop: float | None = None
    ) -> None:
        for name, value in (("warn", warn), ("stop", stop)):
            if value is not None:
                _check_threshold(name, value, model)
        if warn is not None and stop is not None and warn > stop:
            raise PetDriverError(f"warn {warn:g} is above stop {stop:g}: choose a smaller one")
        self.warn, self.stop = warn, stop
        self._next_warning = math.inf if warn is None else warn
        self._is_set = warn is not None or stop is not None

    def check(self, force_std: np.ndarray, report: Callable[[str], None]) -> None:
        """Compare the force standard deviations of one structure with the thresholds.

        Args:
            force_std: [N] in eV/A.
            report: called with the text of a warning.

        Raises:
            PetDriverError: a force standard deviation is above ``stop``.
        """
        if len(force_std) == 0 or not self._is_set:
            return
        atom = int(np.argmax(force_std))
        largest = float(force_std[atom])  # NaN if any of them is
        found = f"force standard deviation of {largest:.4g} eV/A at atom {atom} (counted from 0)"
        if self.stop is not None and not largest <= self.stop:
            raise PetDriverError(
                f"{found} is above stop {self.stop:g}: the members of the ensemble disagree; "
                "look at the last frames of the trajectory, or train on structures like them"
            )
        if largest > self._next_warning:
            report(
                f"{found} is above warn {self.warn:g}: the members of the ensemble disagree; the "
                "next warning comes when it has doubled"
            )
            self._next_warning = 2.0 * largest


def _check_threshold(name: str, value: float, model: Model | Ensemble) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0.0):
        raise PetDriverError(
            f"{name} {value!r}: give a force standard deviation in eV/A, above zero"
        )
    if len(model.members) == 1:
        raise PetDriverError(
            f"{name} {value:g}: {model.path} is a single model and has no force standard "
            "deviation; name an ensemble, such as a.pt+b.pt, or leave it out"
        )
