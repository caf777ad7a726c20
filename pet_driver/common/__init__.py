"""Modules that every room may use: atomic writing, labels of atoms."""
