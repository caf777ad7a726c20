"""Exported models: files, evaluation, ensembles, export, shipped weights."""
