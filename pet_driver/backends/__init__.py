"""Backends that run the network, and settings of compiler, memory, threads and devices."""
