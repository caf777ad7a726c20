"""Exported models: file format, evaluation, ensembles, export, shipped weights."""
