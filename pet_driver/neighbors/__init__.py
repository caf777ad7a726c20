"""Structures, neighbour lists, Verlet lists, and edges."""
