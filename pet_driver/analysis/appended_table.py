"""Tables of numbers that a run appends to a text file, row by row.

An engine that is killed can leave an incomplete row behind, and a restarted run appends to it.
NumPy's readers reject such a file as a whole, so the rows are collected and checked here.
"""

from __future__ import annotations

import warnings

import numpy as np

from pet_driver.errors import PetDriverError


class AppendedTable:
    """Rows of an appended table, without the incomplete ones.

    Each row has a key that grows during a run: the step or the time. An incomplete row is left out
    with a warning where it is the last one of the file, or where the next complete row shows by its
    key that a restarted run wrote the step again. Any other damage is an error.

    Args:
        path: name of the file, for messages.
    """

    def __init__(self, path: str):
        self.path = path
        self._rows: list[list[float]] = []
        self._keys: list[float] = []
        self._damaged: list[str] = []  # errors since the last complete row
        self._merged = False

    def add(self, row: list[float], key: float | None) -> None:
        """Add a complete row and its key (``None`` in a table without steps and times).

        Raises:
            PetDriverError: the rows before it are damaged and it does not repeat their step.
        """
        if self._damaged:
            if key is None or not self._keys or key > self._expected_key():
                raise PetDriverError(f"{self.path}: {self._damaged[0]}")
            warnings.warn(
                f"{self.path}: a row is incomplete where the run was restarted; it is left out",
                stacklevel=4,
            )
            self._damaged, self._merged = [], False
        self._rows.append(row)
        if key is not None:
            self._keys.append(key)

    def add_damaged(self, error: str, merged: bool = False) -> None:
        """Record a row that cannot be read.

        Args:
            error: what is wrong with it, for the message.
            merged: whether the next row continues on the same line.
        """
        self._damaged.append(error)
        self._merged = merged

    def to_array(self) -> np.ndarray:
        """Return the complete rows [F, k].

        Raises:
            PetDriverError: there is no complete row, or more than the last row is damaged.
        """
        if len(self._damaged) > 1:
            raise PetDriverError(f"{self.path}: {self._damaged[0]}")
        if self._damaged:
            warnings.warn(f"{self.path}: the last row is incomplete; it is left out", stacklevel=4)
        if not self._rows:
            raise PetDriverError(f"{self.path}: contains no complete row; run for longer")
        return np.array(self._rows)

    def _expected_key(self) -> float:
        """Return the largest key with which the next row still repeats the damaged one."""
        last, before = self._keys[-1], self._keys[max(-2, -len(self._keys))]
        return last + (1 + self._merged) * (last - before)
