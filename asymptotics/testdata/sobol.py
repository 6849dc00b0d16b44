"""Points 1, 2, 3, 100 of the unscrambled Sobol sequence of 21 coordinates by SciPy, for TestSobol."""
from scipy.stats import qmc

points = qmc.Sobol(21, scramble=False).random(128)
for i in (1, 2, 3, 100):
    print("{" + ", ".join(repr(float(v)) for v in points[i]) + "},")
