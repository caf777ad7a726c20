"""Write piglet-8.a and piglet-8.c, the matrices of a PIGLET thermostat for 8 beads.

    python make_thermostat.py [TEMPERATURE]       # K, 300 by default

PIGLET applies coloured noise to each normal mode of the ring polymer, so that a harmonic oscillator
has its quantum fluctuations with few beads (Ceriotti and Manolopoulos, Phys. Rev. Lett. 109 (2012)
100604). The parameters are a set of the GLE4MD database (gle4md.org: PIGLET, 8 beads, 298 K), also
in `examples/path-integrals` of lab-cosmo's atomistic cookbook. The centroid has the optimal
sampling of Ceriotti, Bussi and Parrinello, J. Chem. Theory Comput. 6 (2010) 1170; all other modes
share one pair of matrices.

The fluctuations depend on hbar omega / kT only. Both matrices of the inner modes are therefore
proportional to the temperature; the noise of the centroid is classical, and its drift does not
depend on the temperature.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
N_BEADS = 8
REFERENCE = 298.0  # K, of the numbers below

# Drift of the centroid, in inverse atomic time: first row, first column, diagonal, and the elements
# above the diagonal in the rows 1 to 7. The elements below it are antisymmetric.
CENTROID_ROW = """9.078220950722e-6 8.180522706851e-6 1.196620464216e-5 1.108609196233e-4
    -8.941338246404e-4 7.817382329484e-3 -1.206049888192e-2 -5.215913547478e-2"""
CENTROID_COLUMN = """-9.756343549369e-6 -1.851243089560e-6 1.492481502899e-5 1.059383195368e-4
    -7.611448585233e-4 7.659946833472e-3 -1.078245092236e-2 -5.467410217589e-2"""
CENTROID_DIAGONAL = """1.300513766690e-2 2.131200614277e-7 1.956991859501e-6 5.092476869103e-6
    5.467813757620e-5 6.616597356640e-4 6.390977118535e-3 1.730397061203e-1 1.795223909984e+0"""
CENTROID_UPPER = """2.972243541454e-6 -4.459298032276e-6 2.177011229810e-7 4.960251269751e-7
    -2.083064995647e-6 -7.004617074013e-6 2.299410255689e-5
    1.742357040415e-6 -2.082265548357e-6 -1.760771137012e-6 -3.733162998255e-6 -3.711884630223e-5
    -3.625483838477e-5
    2.033910859306e-6 5.856365217540e-7 -3.020170664006e-6 1.868034354962e-5 -5.049113665348e-6
    -6.684243951800e-6 -9.770331146786e-7 -2.159991642805e-4 4.667176340213e-4
    -1.637891086976e-6 -2.056652206438e-4 2.960975881160e-4
    -6.246090363901e-5 5.054994461623e-4
    1.004651317366e-4"""

# Drift of the other modes: four pairs of auxiliary momenta, of which the first is coupled to the
# physical momentum.
INNER_FRICTION = 8.433361179684e-6
INNER_COUPLING = "5.985771048989e-3 1.106850007061e-2 4.737897597685e-3 2.344265458323e-4"
INNER_DAMPING = "9.461326310093e-2 1.488504300030e-2 3.514677295700e-2 2.199180080880e-4"
INNER_FREQUENCY = "9.829968606252e-3 4.214899343968e-3 8.541932660186e-3 3.798554823700e-3"
INNER_REST = 1.889231157037e-14

# Their covariance in K (times the number of beads, as i-PI takes it), row by row from the diagonal.
COVARIANCE = """2.698549372188e+3 -1.368081060516e+3 -3.209415830440e+3 8.738658365140e+2
    7.268039280880e+2 -2.513005676292e+2 -4.150754888640e+2 -1.260054684948e+3 -6.448165752780e+2
    2.965586458180e+4 5.268769597220e-8 -5.555628715240e+0 4.972346413560e+2 -5.924916939780e+1
    1.075269335280e+2 -8.318280168320e+1 -1.172679285326e+0
    2.770155230160e+4 -1.159648313612e+3 -4.345682898960e+3 -1.237408936636e+2 -1.339182640444e+3
    3.034680577260e+0 -4.135056752260e+2
    1.243175060816e+3 1.278480055046e-8 5.970691220840e+1 -2.520026819128e+2 -9.347295856760e+2
    -4.292224714720e+2
    3.151792246900e+3 1.243472620074e+2 -7.904812686860e+1 4.762678432220e+2 -1.019900735322e+3
    5.255446383760e+3 1.045563267562e-8 -1.725915110312e+2 -4.871461433960e+0
    5.025219194680e+3 1.095461232690e+1 -4.143625581340e+2
    6.411989938480e+4 3.172261366260e-7
    6.408010473300e+4"""

HEADER = """PIGLET, {what}; 8 beads, {temperature:g} K: 8 matrices of 9 x 9, centroid first.
Ceriotti and Manolopoulos, Phys. Rev. Lett. 109 (2012) 100604; GLE4MD database. Written by
make_thermostat.py, for ring polymers with the frequencies of i-PI's normal modes."""


def numbers(text: str) -> np.ndarray:
    return np.array(text.split(), float)


def centroid_drift() -> np.ndarray:
    """Return the drift matrix A of the centroid [9, 9]."""
    drift = np.zeros((9, 9))
    drift[1:, 1:][np.triu_indices(8, 1)] = numbers(CENTROID_UPPER)
    drift -= drift.T
    drift[0, 1:], drift[1:, 0] = numbers(CENTROID_ROW), numbers(CENTROID_COLUMN)
    np.fill_diagonal(drift, numbers(CENTROID_DIAGONAL))
    return drift


def inner_drift() -> np.ndarray:
    """Return the drift matrix A of every other mode [9, 9]."""
    drift = np.zeros((9, 9))
    drift[0, 1::2] = numbers(INNER_COUPLING)
    drift[range(1, 9, 2), range(2, 9, 2)] = numbers(INNER_FREQUENCY)
    drift -= drift.T
    drift[0, 0] = INNER_FRICTION
    drift[range(1, 9, 2), range(1, 9, 2)] = numbers(INNER_DAMPING)
    drift[range(2, 9, 2), range(2, 9, 2)] = INNER_REST
    return drift


def inner_covariance() -> np.ndarray:
    """Return the covariance C of every mode except the centroid [9, 9] in K."""
    upper = np.zeros((9, 9))
    upper[np.triu_indices(9)] = numbers(COVARIANCE)
    return upper + np.triu(upper, 1).T


def piglet(temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return A [8, 9, 9] (inverse atomic time) and C [8, 9, 9] (K) at a temperature in K."""
    scale = temperature / REFERENCE
    drift = np.array([centroid_drift(), *[scale * inner_drift()] * (N_BEADS - 1)])
    classical = N_BEADS * temperature * np.eye(9)
    return drift, np.array([classical, *[scale * inner_covariance()] * (N_BEADS - 1)])


def main() -> None:
    try:
        temperature = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    except ValueError:
        temperature = 0.0
    if not 0.0 < temperature < 1e4:
        sys.exit(f"{sys.argv[1]} is not a temperature in K, such as 350")
    names = {"a": "drift in inverse atomic time", "c": "covariance in K"}
    for (name, what), matrices in zip(names.items(), piglet(temperature), strict=True):
        header = HEADER.format(what=what, temperature=temperature)
        np.savetxt(HERE / f"piglet-8.{name}", matrices.reshape(-1, 9), "%.12e", header=header)


if __name__ == "__main__":
    main()
