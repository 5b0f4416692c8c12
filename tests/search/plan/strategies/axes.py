"""The two axes that the tests of strategies use."""

from search.plan.strategies import Axis

GM = Axis(name="gm", values=(1, 2, 4), rule="largest-stable", start=1)
GC = Axis(name="gc", values=(1, 8), rule="best-mean", start=0)
