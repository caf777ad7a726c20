"""What i-PI is given as ``<pes_path>``: names the class in pet_driver that does the work."""

import os

from pet_driver.backends.threads import wait_briefly

wait_briefly(os.environ)  # before torch comes in, with the driver

from pet_driver.engines.ipi.driver import PETDriver  # noqa: E402, F401

__DRIVER_NAME__ = "pet_driver"
__DRIVER_CLASS__ = "PETDriver"
