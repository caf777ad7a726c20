"""A small training: killed, resumed, exported, with its model card; and its split."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import pytest
import torch
import train
import typer
from card import SECTIONS, write_card
from training.errors import errors
from training.stages import newest_checkpoint, read_checkpoint

import pet_driver
from pet_driver.errors import PetDriverError
from tests.conftest import ROOT
from tests.workflows.train.conftest import TRAIN

pytest.importorskip("metatrain", reason="needs the extra `metatrain`")

PATIENCE = 300  # s


def command(data: Path, output: Path, *options: str) -> list[str]:
    script = [sys.executable, str(TRAIN / "train.py"), str(TRAIN / "quick.yaml")]
    return [*script, "--data", str(data), "-o", str(output), "--device", "cpu", *options]


def kill_after_first_checkpoint(line: list[str], stage: Path) -> None:
    """Kill the script after the first checkpoint; metatrain ends when its parent is gone."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while not list(stage.glob("outputs/*/*/model_0.ckpt")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def run_when_free(line: list[str]) -> subprocess.CompletedProcess:
    """Run a command, repeatedly while the killed training still locks its folder."""
    for _ in range(100):
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE)
        if "is under way" not in done.stderr:
            break
        time.sleep(0.2)
    return done


@pytest.mark.timeout(600)
def test_killed_training_resumes(made_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "quick"
    line = command(made_data, tmp_path)
    kill_after_first_checkpoint(line, folder / "1-one")
    assert not (folder / "quick.pt").exists()
    done = run_when_free(line)
    assert done.returncode == 0, done.stdout + done.stderr

    segments = list((folder / "1-one" / "outputs").glob("*/*"))
    assert len(segments) == 2, "it was to resume from the checkpoint, in a second run segment"
    assert "Restarting training from" in (folder / "1-one" / "screen.txt").read_text()
    assert "GG" in first_state(folder / "1-one"), "SOAP's preconditioners"
    assert "GG" not in first_state(folder / "2-two"), "Adam"
    check_embedding_of_edge_vectors(folder)
    record = json.loads((folder / "quick.json").read_text())
    assert list(record["stages"]) == ["one", "two"]
    for stage in record["stages"].values():
        assert [int(row["epoch"]) for row in stage["history"]] == [0, 1]
        assert stage["history"][-1]["held_out_force_mae"] > 0.0
    # 4 + 8 + 2 x 1 frames, and 2 isolated atoms of each of two elements.
    assert record["stages"]["one"]["train_frames"] == 18

    model = pet_driver.load(folder / "quick.pt")
    assert model.symbols == ["H", "O"]
    assert model.metadata["zbl_radii"] == pytest.approx({"H": 0.31, "O": 0.66})
    check_fragments(record)
    check_card(folder / "quick.md", record)
    held_out = [f for f in read(made_data) if f.info.pop("index") in indices(record)]
    assert errors(model, held_out).force_mae == pytest.approx(
        record["errors"]["liquid"]["force_mae"], rel=1e-4
    )


def first_state(stage: Path) -> dict:
    """Return the optimizer state of the first parameters of a stage."""
    checkpoint = read_checkpoint(newest_checkpoint(stage))
    return next(iter(checkpoint["optimizer_state_dict"]["state"].values()))


def check_embedding_of_edge_vectors(folder: Path) -> None:
    """Assert that the first stage keeps the initial weights, and the next one changes them."""
    before, after = (
        {
            name: weights
            for name, weights in read_checkpoint(folder / stage / "last.ckpt")[
                "model_state_dict"
            ].items()
            if name.endswith("edge_embedder.weight") and weights.shape[1] == 4
        }
        for stage in ("1-one", "2-two")
    )
    (drawn,) = before.values()
    assert drawn.abs().max() <= 0.5 and 0.15 < drawn.abs().mean() < 0.35, "uniform, up to 1/sqrt(4)"
    assert not any(torch.equal(after[name], before[name]) for name in before)


def read(data: Path) -> list:
    frames = ase.io.read(data / "water-revpbe0-d3-150.xyz", ":")
    for index, atoms in enumerate(frames):
        atoms.info["index"] = index
    return frames


def indices(record: dict) -> list[int]:
    return record["split"]["liquid"]["held_out"]


def check_fragments(record: dict) -> None:
    """Assert that baselines of elements differ as the energies of isolated atoms do."""
    baselines, energies = record["baselines"], record["settings"]["atomic_energies"]
    assert baselines["8"] - baselines["1"] == pytest.approx(energies["O"] - energies["H"])


def check_card(path: Path, record: dict) -> None:
    """Assert that every section is there, except the learning curve, with its command."""
    text = path.read_text()
    for section, title in SECTIONS.items():
        expected = title is not None and section != "learning-curve"
        assert (f"## {title}\n" in text) == expected, text
        assert (f"--only {section}`" in text) == expected
    assert (path.parent / "quick-symmetry.svg").is_file()
    assert f"{record['errors']['liquid']['force_mae']:.3g}" in text


def split_only(configuration: Path, data: Path, output: Path, frames: int | None = None) -> dict:
    """Run a training with --split-only; return the indices by set."""
    train.train(configuration, data, output, device="cpu", frames=frames, split_only=True)
    (path,) = output.glob("*/split/split.json")
    return json.loads(path.read_text())["sets"]


def test_split_is_reproducible(made_data: Path, tmp_path: Path) -> None:
    """A smaller training set is a subset, with the same held-out frames."""
    a, b = (split_only(TRAIN / "quick.yaml", made_data, tmp_path / name) for name in "ab")
    fewer = split_only(TRAIN / "quick.yaml", made_data, tmp_path / "c", frames=2)
    assert a == b
    assert (tmp_path / "a" / "quick" / "split" / "liquid-held_out.xyz").is_file()
    assert (tmp_path / "c" / "quick-2").is_dir()
    one, few = a["liquid"], fewer["liquid"]
    assert len(one["train"]) == 4 and len(one["held_out"]) == 2
    assert not set(one["train"]) & set(one["held_out"])
    assert few["train"] == one["train"][:2] and few["held_out"] == one["held_out"]


def test_members_of_an_ensemble_share_the_split(made_data: Path, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(f"base: {TRAIN / 'quick.yaml'}\nmembers: 2\n")
    train.train(tmp_path / "two.yaml", made_data, tmp_path, device="cpu", split_only=True)
    one, two = (json.loads((tmp_path / f"two-{n}" / "training.json").read_text()) for n in (1, 2))
    assert (one["seed"], two["seed"]) == (1, 2)
    assert one["split"] == two["split"]


def test_folder_of_another_training_is_refused(made_data: Path, tmp_path: Path, capsys) -> None:
    mine = tmp_path / "mine.yaml"
    text = (TRAIN / "quick.yaml").read_text()
    mine.write_text(text)
    split_only(mine, made_data, tmp_path)
    mine.write_text(text.replace("seed: 1", "seed: 2"))
    with pytest.raises(typer.Exit):
        split_only(mine, made_data, tmp_path)
    error = capsys.readouterr().err
    assert "holds another training (changed: " in error and "settings: seed" in error


def test_batch_smaller_than_a_frame_is_refused(made_data: Path, tmp_path: Path, capsys) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"base: {TRAIN / 'quick.yaml'}\nstages: {{one: {{batch_atoms: 20}}}}\n")
    with pytest.raises(typer.Exit):
        split_only(mine, made_data, tmp_path)
    assert "batch_atoms is 20, and a frame of liquid has 24 atoms" in capsys.readouterr().err


def test_card_needs_record_and_data_of_the_training(made_data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "mine.pt"
    archive.write_bytes((ROOT / "pet_driver" / "model" / "weights" / "water-small.pt").read_bytes())
    with pytest.raises(PetDriverError, match=r"no record of a training at .*mine.json"):
        write_card(archive, made_data)
    record = json.loads(
        (ROOT / "pet_driver" / "model" / "weights" / "water-small.json").read_text()
    )
    (tmp_path / "mine.json").write_text(json.dumps(record))
    with pytest.raises(PetDriverError, match=r"is not the file that water-small was trained on"):
        write_card(archive, made_data)
