"""Which steps of a sequence decided an answer.

- ``attribution``  the gradient times the input, and what is lost without a step
- ``shown``        the steps coloured, for the terminal and as a page
"""

from backtime.insight.decisions.attribution import Decision, contributions

__all__ = ["Decision", "contributions"]
