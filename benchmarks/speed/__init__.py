"""Compare the speed and memory of this package with its peers: same weights, same structures.

    make bench                                    everything, in hours
    make bench BENCH=--quick                      a few sizes, in minutes
    python -m benchmarks.speed --help             single parts

Every contender is a process of its own with a fixed number of threads. The processes evaluate the
same structures in turn, until the medians of their times are precise; in this way other load on the
machine affects all alike. Before a contender is timed, its energy, forces and virial are compared
with those of the same network in float64.
"""
