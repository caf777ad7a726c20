"""The file that i-PI loads by its path to find the PET potential.

    <ffdirect name="pet">
      <pes> custom </pes>
      <pes_path> ... </pes_path>          the path of this file: pet-driver ipi --shim
      <parameters> {model: water-small, template: init.xyz} </parameters>
    </ffdirect>

i-PI executes it again for every force field; :mod:`pet_driver.engines.ipi.driver` keeps the loaded
models.
"""

import os

from pet_driver.backends.threads import wait_briefly
from pet_driver.backends.torchscript_warnings import ignore_torchscript_warnings

wait_briefly(os.environ)  # must run before torch is imported
ignore_torchscript_warnings()

from pet_driver.engines.ipi.driver import PETDriver  # noqa: E402, F401

__DRIVER_NAME__ = "pet_driver"
__DRIVER_CLASS__ = "PETDriver"
