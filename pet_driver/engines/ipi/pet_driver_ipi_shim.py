"""What i-PI is given as `<pes_path>`: names the class in pet_driver that does the work."""

from pet_driver.engines.ipi.driver import PETDriver  # noqa: F401

__DRIVER_NAME__ = "pet_driver"
__DRIVER_CLASS__ = "PETDriver"
