"""Write frames.xyz: 20 molecules, randomly distorted and rotated."""

from pathlib import Path

import numpy as np
from ase.io import write
from scipy.spatial.transform import Rotation

from pet_driver.building import water_molecule


def main() -> None:
    random = np.random.default_rng(5)
    frames = []
    for rotation in Rotation.random(20, random_state=random):
        water = water_molecule(30.0)
        center = water.positions.mean(axis=0)
        distorted = water.positions - center + random.normal(scale=0.03, size=(3, 3))
        water.positions = rotation.apply(distorted) + center
        frames.append(water)
    write(Path(__file__).with_name("frames.xyz"), frames, format="extxyz")


if __name__ == "__main__":
    main()
