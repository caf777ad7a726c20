"""What every part of the benchmark needs: who is there, their models, where results go."""

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
    """One run.

    Attributes:
        results: the file that the parts write to, one after the other.
        folder: for checkpoints and converted models.
        device: ``"cpu"`` or ``"cuda"``.
        plan: how long to repeat a comparison.
        versions: of the packages of each contender that is there.
        left_out: why a contender is not there, or not for a network.
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
        """See which contenders are installed."""
        for name in names:
            with Process(name, 1, self.device) as process:
                try:
                    self.versions[name] = process.call("versions")
                except ContenderError as error:
                    self.leave_out(name, str(error))

    def leave_out(self, what: str, why: str) -> None:
        """Go on without it, and say so."""
        self.left_out[what] = why
        say(f"{what} is left out: {why}")

    def models(self, network: str) -> dict[str, Path]:
        """What each contender evaluates for a network, converted from the same checkpoint now."""
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
        """The network in float64."""
        if network not in self._references:
            self.models(network)
            checkpoint = self.folder / f"{network}.ckpt"
            self._references[network] = self._convert(OURS, checkpoint, dtype="float64")
        return self._references[network]

    def _convert(self, name: str, checkpoint: Path, **options: str) -> Path:
        with Process(name, 1) as process:
            return process.call("convert", checkpoint, self.folder / name, options)

    def add(self, part: str, records: list[dict[str, Any]]) -> None:
        """Add to a part of the results and write the file, so that an end ahead of time leaves
        what is known by then."""
        self.values.setdefault(part, []).extend(records)
        self.values["versions"] = self.versions
        self.values["left_out"] = self.left_out
        self.results.parent.mkdir(parents=True, exist_ok=True)
        partial = self.results.with_suffix(".partial")
        partial.write_text(json.dumps(self.values, indent=1) + "\n")
        os.replace(partial, self.results)


def say(text: str) -> None:
    """Progress, as it happens."""
    print(text, file=sys.stderr, flush=True)
