"""Neighbour lists, Verlet lists, and edges between positions and forces."""
