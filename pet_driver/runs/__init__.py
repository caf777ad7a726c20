"""Run input files of i-PI and LAMMPS: change settings, resume stopped runs, write records."""

from pet_driver.runs.execute import execute
from pet_driver.runs.record import Run, find_runs, read_run
from pet_driver.runs.settings import Settings, parse_duration

__all__ = ["Run", "Settings", "execute", "find_runs", "parse_duration", "read_run"]
