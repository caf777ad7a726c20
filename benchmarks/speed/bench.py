"""State that all parts of the benchmark share: contenders, their models, the results."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed import networks
from benchmarks.speed.contenders import NAMES, OURS
from benchmarks.speed.measure import Plan
from benchmarks.speed.process import ContenderError, Process


@dataclass
class Bench:
    """One run of the benchmark.

    Attributes:
        results: file of results.
        folder: folder for checkpoints and converted models.
        device: ``"cpu"`` or ``"cuda"``.
        plan: limits on the length of a comparison.
        versions: versions of the packages of each installed contender.
        left_out: reasons why a contender, or a contender with a network, is left out.
        values: the results.
    """

    results: Path
    folder: Path
    device: str
    plan: Plan
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    _models: dict[str, dict[str, Path]] = field(default_factory=dict)
    _references: dict[str, Path] = field(default_factory=dict)

    def find_contenders(self, names: Iterable[str] = NAMES) -> None:
        """Find out which contenders are installed, and their versions."""
        for name in names:
            with Process(name, 1, self.device) as process:
                try:
                    self.versions[name] = process.call("versions")
                except ContenderError as error:
                    self.leave_out(name, str(error))

    def leave_out(self, what: str, why: str) -> None:
        """Record and print why a contender is left out."""
        self.left_out[what] = why
        log(f"{what} is left out: {why}")

    def models(self, network: str) -> dict[str, Path]:
        """Return the model of each contender, converted from the checkpoint of a network."""
        if network not in self._models:
            checkpoint = self.folder / f"{network}.ckpt"
            self.folder.mkdir(parents=True, exist_ok=True)
            networks.make_checkpoint(network, checkpoint)
            found = {}
            for name in self.versions:
                try:
                    found[name] = self._convert(name, checkpoint)
                except ContenderError as error:
                    self.leave_out(f"{name} with {network}", str(error))
            self._models[network] = found
        return self._models[network]

    def reference(self, network: str) -> Path:
        """Return the network in float64 as a model of this package."""
        if network not in self._references:
            self.models(network)
            checkpoint = self.folder / f"{network}.ckpt"
            self._references[network] = self._convert(OURS, checkpoint, dtype="float64")
        return self._references[network]

    def _convert(self, name: str, checkpoint: Path, **options: str) -> Path:
        with Process(name, 1) as process:
            return process.call("convert", checkpoint, self.folder / name, options)

    def add(self, part: str, records: list[dict[str, Any]]) -> None:
        """Add records to a part of the results and write the file.

        It is written after every part, so that an interrupted run leaves its results.
        """
        self.values.setdefault(part, []).extend(records)
        self.values["versions"] = self.versions
        self.values["left_out"] = self.left_out
        self.results.parent.mkdir(parents=True, exist_ok=True)
        partial = self.results.with_suffix(".partial")
        partial.write_text(json.dumps(self.values, indent=1) + "\n")
        os.replace(partial, self.results)


def log(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)
