"""Adapters to simulation engines: ASE, i-PI and LAMMPS.

A new engine is one module here. It converts the engine's units and calls
:meth:`pet_driver.model.evaluator.Model.compute`.
"""
