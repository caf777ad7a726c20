"""Rules that are written in Python and in C++: every case has the same answer in both.

One LAMMPS process answers all cases, because each start takes seconds.
"""

import functools
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pet_driver
from pet_driver.backends.compiler_cache import cache_folder
from pet_driver.backends.cpu import MODE
from pet_driver.backends.shared_rules import FORMAT_VERSION, METADATA_FILE, OUT_OF_MEMORY_TEXTS
from pet_driver.checkpoints import Source
from pet_driver.engines.thresholds import Thresholds
from pet_driver.model import archive
from pet_driver.network import PET, Hypers
from pet_driver.symmetry.averaging import Structures

from .lammps_input import Reply, evaluate, run_session, water_box, write_structure

ENERGY_TOLERANCE = 1e-9  # eV, float64
SINGLE_TOLERANCE = 1e-3  # eV, float32 totals of the shipped models
SIGNAL = 1e-6  # eV; standard deviations of ensembles are larger
NO_GPU = not torch.cuda.is_available()


@dataclass(frozen=True)
class Case:
    """One question to both programs.

    Attributes:
        names: of the model.
        options: keywords of ``pair_style pet``; arguments of the same names in Python.
        words: that the error must contain; empty: both programs accept the case.
        members: number of members, if it is accepted.
        tolerance: of energies, in eV.
    """

    names: str
    options: str = ""
    words: tuple[str, ...] = ()
    members: int = 1
    tolerance: float = ENERGY_TOLERANCE


SAME_MODEL = ("members", "of an ensemble are one and the same model", "leave one of them out")
MISSING = ("is neither a file nor a shipped model", "shipped are:", "water-small")
DEVICES = ("use cpu, cuda, cuda:N or auto",)
MEMORY = ("out of memory", "max_edges", "a device with more memory")
STD = ("a force standard deviation", "above zero")

ENSEMBLES = {
    "different weights": Case("a.pt+b.pt", members=2),
    "different cutoffs": Case("a.pt+long.pt", members=2),
    "the same file twice": Case("a.pt+a.pt", words=SAME_MODEL),
    "the same weights exported again": Case("a.pt+again.pt", words=SAME_MODEL),
    "the same weights with another default grid": Case("a.pt+a-averaged.pt", words=SAME_MODEL),
    "the same, with a grid for both": Case("a.pt+a-averaged.pt", "grid i", words=SAME_MODEL),
    "the third is the first": Case("a.pt+b.pt+again.pt", words=SAME_MODEL),
    "with and without ZBL": Case("a.pt+a-zbl.pt", members=2),
    "with ZBL twice": Case("a-zbl.pt+a-zbl.pt", words=SAME_MODEL),
    "another scale": Case("a.pt+a-scaled.pt", members=2),
    "other elements": Case(
        "a.pt+carbon.pt", words=("must know the same elements", "leave one of them out")
    ),
    "different default grids": Case(
        "a.pt+b-averaged.pt", words=("the default grid of", "choose one for the ensemble")
    ),
    "different default grids, with a grid for both": Case(
        "a.pt+b-averaged.pt", "grid i", members=2
    ),
}
NAMES = {
    "file": Case("a.pt"),
    "path": Case("./a.pt"),
    "home folder": Case("~/a.pt"),
    "shipped model": Case("water-small", tolerance=SINGLE_TOLERANCE),
    "shipped ensemble": Case("water-small-ensemble", members=3, tolerance=SINGLE_TOLERANCE),
    "plus sign in a file name": Case("plus+sign.pt"),
    "plus sign in a file name of an ensemble": Case("b.pt+plus+sign.pt", members=2),
    "plus sign in a folder name": Case("with+plus/b.pt+a.pt", members=2),
    "missing": Case("nowhere.pt", words=("nowhere.pt", *MISSING)),
    "missing member": Case("a.pt+nowhere.pt", words=("nowhere.pt", *MISSING)),
    "empty member": Case("a.pt+", words=MISSING),
    "folder": Case("with+plus", words=MISSING),
    "text file": Case("text.pt", words=("text.pt", "pet-driver export")),
    "another TorchScript file": Case("linear.pt", words=("linear.pt", "pet-driver export")),
    "another format version": Case(
        "future.pt",
        words=(
            "format version 99",
            f"version {FORMAT_VERSION}",
            "export the model again",
        ),
    ),
}
OPTIONS = {
    "device cpu": Case("a.pt", "device cpu"),
    "device auto": Case("a.pt", "device auto"),
    "device tpu": Case("a.pt", "device tpu", words=("'tpu'", *DEVICES)),
    "device cuda:x": Case("a.pt", "device cuda:x", words=("'cuda:x'", *DEVICES)),
    "device cuda:99": Case("a.pt", "device cuda:99", words=("device cuda:99",)),
    "grid": Case("a.pt", "grid 2i"),
    "random grid": Case("a.pt", "grid 2i+random@7"),
    "exact symmetrization": Case("a.pt", "grid ecse"),
    "unknown grid": Case("a.pt", "grid 7q", words=("unknown grid '7q'; known are 0 (raw)",)),
    "even Lebedev grid": Case("a.pt", "grid lebedev4", words=("unknown grid 'lebedev4'; known",)),
    "smallest max_edges": Case("a.pt", "grid 2i max_edges 1"),
    "no max_edges": Case("a.pt", "max_edges 0", words=("max_edges", "0")),
    "negative max_edges": Case("a.pt", "max_edges -5", words=("max_edges", "-5")),
    "thresholds that are not reached": Case("a.pt+b.pt", "warn 1e6 stop 1e7", members=2),
    "warn reached": Case("a.pt+b.pt", "warn 1e-7 stop 1e7", members=2),
    "stop reached": Case(
        "a.pt+b.pt",
        "warn 1e-8 stop 1e-7",
        words=("force standard deviation of", "is above stop 1e-07", "the ensemble disagree"),
    ),
    "warn for one model": Case("a.pt", "warn 1", words=("warn", "is a single model")),
    "stop for one model": Case("a.pt", "stop 1", words=("stop", "is a single model")),
    "stop below warn": Case(
        "a.pt+b.pt", "warn 2 stop 1", words=("is above stop", "choose a smaller one")
    ),
    "stop equal to warn": Case("a.pt+b.pt", "warn 1e6 stop 1e6", members=2),
    "warn zero": Case("a.pt+b.pt", "warn 0", words=("warn", *STD)),
    "warn negative": Case("a.pt+b.pt", "warn -1", words=("warn", *STD)),
    "warn NaN": Case("a.pt+b.pt", "warn nan", words=("warn", *STD)),
    "stop infinite": Case("a.pt+b.pt", "stop inf", words=("stop", *STD)),
    "stop no number": Case("a.pt+b.pt", "stop much", words=("stop", *STD)),
}
if NO_GPU:
    OPTIONS["device cuda without a GPU"] = Case(
        "a.pt", "device cuda", words=("device cuda was asked for, but torch finds no",)
    )
SHORTAGES = {
    f"error with {text!r}": Case(f"faulty-{k}.pt", words=MEMORY)
    for k, text in enumerate(OUT_OF_MEMORY_TEXTS)
}
CASES = {**ENSEMBLES, **NAMES, **OPTIONS, **SHORTAGES}


def tiny_source(seed: int = 0, numbers: tuple[int, int] = (1, 8), **hypers: Any) -> Source:
    """A network with random weights."""
    torch.manual_seed(seed)
    sizes = {"cutoff": 3.5, "d_pet": 8, "d_head": 8, "d_node": 12, "d_feedforward": 8}
    shape = Hypers(**(sizes | {"num_heads": 2, "num_attention_layers": 1} | hypers))
    weights = PET(shape, 2).to(torch.float64).state_dict()
    return Source(shape, weights, list(numbers), 3.0, [-13.0, -430.0])


class FaultyModule(archive.ArchiveModule):
    """A model whose evaluation raises an error with a given text."""

    def __init__(self, *arguments: Any, text: str) -> None:
        super().__init__(*arguments)
        self.text = text

    def symmetrized(
        self, batch: Structures, rotations: Tensor, weights: Tensor, frames: int, max_edges: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # An operator of torch that fails. `raise` would give an error of TorchScript itself.
        failed = torch.ops.aten._functional_assert_scalar(0, self.text, weights)
        return failed, failed, failed, failed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of all cases, and a molecule."""
    folder = tmp_path_factory.mktemp("models")
    save = functools.partial(archive.save, dtype="float64")
    a, b = tiny_source(0), tiny_source(1)
    save(a, folder / "a.pt")
    save(b, folder / "b.pt")
    save(replace(a, provenance={"file": "elsewhere"}), folder / "again.pt")
    save(a, folder / "a-averaged.pt", grid="i")
    save(b, folder / "b-averaged.pt", grid="i")
    save(replace(a, zbl_radii=[0.6, 1.2]), folder / "a-zbl.pt")
    save(replace(a, scale=2.0), folder / "a-scaled.pt")
    save(tiny_source(2, cutoff=4.5), folder / "long.pt")
    save(tiny_source(0, numbers=(6, 14)), folder / "carbon.pt")
    (folder / "plus+sign.pt").symlink_to(folder / "a.pt")
    (folder / "with+plus").mkdir()
    (folder / "with+plus" / "b.pt").symlink_to(folder / "b.pt")
    (folder / "text.pt").write_text("a text\n")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "linear.pt"))
    write_future_format(folder / "a.pt", folder / "future.pt")
    with pytest.MonkeyPatch.context() as patch:
        for k, text in enumerate(OUT_OF_MEMORY_TEXTS):
            module = functools.partial(FaultyModule, text=f"{text} (by the test)")
            patch.setattr(archive, "ArchiveModule", module)
            save(a, folder / f"faulty-{k}.pt")
    write_structure(folder / "structure.data", water_box(1, 5.0))
    return folder


def write_future_format(source: Path, target: Path) -> None:
    """Copy an archive, with another format version in the module and in the metadata."""
    with zipfile.ZipFile(source) as file:
        entry = next(name for name in file.namelist() if name.endswith(METADATA_FILE))
        metadata = json.loads(file.read(entry))
    module = torch.jit.load(str(source))
    module.format_version = 99
    extra = {METADATA_FILE: json.dumps(metadata | {"format_version": 99})}
    module.save(str(target), _extra_files=extra)


INPUT = """
units metal
read_data structure.data
pair_style pet {arguments}
pair_coeff * * O H
compute pet all pair pet
thermo_style custom step pe c_pet[1]
run 0
print "ANSWER $(pe:%.16e) $(c_pet[1]:%.16e) $(c_pet[3]:%.16e)"
"""


@pytest.fixture(scope="module")
def replies(folder: Path) -> dict[str, Reply]:
    """The replies of LAMMPS to all cases."""
    inputs = {}
    for name, case in CASES.items():
        device = "" if "device" in case.options else "device cpu"
        inputs[name] = INPUT.format(arguments=f"{case.names} {device} {case.options}")
    return run_session(folder, inputs)


def number(text: str, kind: Callable[[str], Any]) -> Any:
    """A number, or the text if it is none."""
    try:
        return kind(text)
    except ValueError:
        return text


def ask_python(case: Case) -> pet_driver.Results:
    """Load and evaluate as :class:`pet_driver.PETCalculator` does.

    Raises:
        PetDriverError: the case is refused.
    """
    words = case.options.split()
    options: dict[str, Any] = dict(zip(words[::2], words[1::2], strict=True))
    limits = {k: number(options.pop(k), float) for k in ("warn", "stop") if k in options}
    if "max_edges" in options:
        options["max_edges"] = int(options["max_edges"])
    model = pet_driver.load(case.names, **options)
    assert len(model.members) == (case.members if not case.words else len(model.members))
    thresholds = Thresholds(model, **limits)
    results = model.evaluate(water_box(1, 5.0))
    thresholds.check(results.force_std, lambda text: None)
    return results


@pytest.mark.parametrize("name", CASES)
def test_python_and_lammps_agree(
    name: str, folder: Path, replies: dict[str, Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, reply = CASES[name], replies[name]
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PET_DRIVER_CACHE", str(cache_folder()))  # not in the home of the next line
    monkeypatch.setenv("HOME", str(folder))
    if case.words:
        with pytest.raises(pet_driver.PetDriverError) as refused:
            ask_python(case)
        assert reply.error, "LAMMPS accepts what Python refuses"
        for word in case.words:
            assert word in str(refused.value), "Python"
            assert word in reply.error, "LAMMPS"
        return
    results = ask_python(case)
    assert not reply.error
    answer = re.search("^ANSWER (.*)", reply.output, re.MULTILINE)
    assert answer is not None, reply.output
    energy, raw_energy, ensemble_std = map(float, answer[1].split())
    assert energy == pytest.approx(results.energy, abs=case.tolerance)
    assert raw_energy == pytest.approx(results.raw_energy, abs=case.tolerance)
    assert ensemble_std == pytest.approx(results.ensemble_std, abs=case.tolerance)
    assert (results.ensemble_std > SIGNAL) == (case.members > 1)


@pytest.mark.parametrize("kernels", ["on", "off"])
def test_edges_and_forces_agree(
    kernels: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels serve both programs; without them each has code of its own that uses torch."""
    monkeypatch.setenv(MODE, kernels)
    atoms = water_box(2, 6.2)
    outcome = evaluate(tmp_path, atoms, folder / "a.pt")
    assert ("(float64, TorchScript)" in outcome.output) == (kernels == "off")
    expected = pet_driver.load(folder / "a.pt").evaluate(atoms)
    assert outcome.energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(outcome.forces, expected.forces, atol=1e-10, rtol=0)
    np.testing.assert_allclose(outcome.virial, expected.virial, atol=1e-9, rtol=0)
    np.testing.assert_allclose(outcome.virials.sum(axis=0), expected.virial, atol=1e-9, rtol=0)
    assert np.abs(outcome.forces).max() > SIGNAL
