"""Check the configuration of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pet_driver.symmetry.grids import RotationGrids

REQUIRED = ("results", "model", "device", "runs")
RUN_KEYS = (
    *("input_file", "steps", "grid", "structure", "variables", "replicas"),
    *("ranks", "clients", "threads", "gpus", "device"),
)


class ConfigurationError(ValueError):
    """Invalid configuration. The message names the run or probe, and the key."""


def read_replicas(config: dict[str, Any], inputs: Path) -> dict[str, tuple[dict[str, Any], int]]:
    """Check a configuration and return its runs, one entry per replica.

    Args:
        config: the configuration.
        inputs: folder of the input files.

    Returns:
        The run and the number of the replica, which is also its seed, by the name of the replica.

    Raises:
        ConfigurationError: a key is missing or unknown, or a run refers to something that does not
            exist.
    """
    for key in REQUIRED:
        if key not in config:
            raise ConfigurationError(
                f"the configuration has no '{key}'; use --configfile, such as quick.yaml"
            )
    replicas = {}
    for name, run in config["runs"].items():
        _check_run(name, run, config.get("structures", {}), inputs)
        count = run.get("replicas", 1)
        for number in range(1, count + 1):
            replicas[name if count == 1 else f"{name}-{number}"] = (run, number)
    for name, probe in config.get("probes", {}).items():
        if probe["run"] not in replicas:
            raise ConfigurationError(
                f"probe {name}: {probe['run']} is not among {', '.join(replicas)}"
            )
    return replicas


def _check_run(name: str, run: dict[str, Any], structures: dict[str, str], inputs: Path) -> None:
    if unknown := set(run) - set(RUN_KEYS):
        raise ConfigurationError(
            f"run {name}: unknown {', '.join(unknown)}; the keys are {', '.join(RUN_KEYS)}"
        )
    if "input_file" not in run:
        raise ConfigurationError(f"run {name}: no 'input_file'")
    if not (inputs / run["input_file"]).is_file():
        raise ConfigurationError(f"run {name}: there is no input file {inputs / run['input_file']}")
    if "grid" in run:
        try:
            RotationGrids()(str(run["grid"]))
        except ValueError as error:
            raise ConfigurationError(f"run {name}: {error}") from None
    if (structure := run.get("structure")) and structure not in structures:
        raise ConfigurationError(f"run {name}: structure {structure} is not among 'structures'")
