"""Side by side with the peers: the same weights, the same structures, in turn.

    make bench                                    all of it
    make bench BENCH=--quick                      a few minutes
    python -m benchmarks.speed --help             parts of it

Every contender is a process of its own with a fixed number of threads. The processes are told one
after the other to evaluate the same structure, again and again until the medians stand still: a
busy machine slows all of them alike. Before a contender is timed its energy, forces and virial are
compared with those of the same network in float64.
"""
