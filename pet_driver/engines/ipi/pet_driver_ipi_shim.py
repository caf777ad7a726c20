"""What i-PI is given as ``<pes_path>``: names the class in pet_driver that does the work."""

import os

from pet_driver.backends.threads import wait_briefly
from pet_driver.backends.torchscript_warnings import ignore_torchscript_warnings

wait_briefly(os.environ)  # before torch comes in, with the driver
ignore_torchscript_warnings()

from pet_driver.engines.ipi.driver import PETDriver  # noqa: E402, F401

__DRIVER_NAME__ = "pet_driver"
__DRIVER_CLASS__ = "PETDriver"
