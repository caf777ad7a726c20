"""Backends that run the network, and what they need: compiler cache, memory, threads, devices."""
