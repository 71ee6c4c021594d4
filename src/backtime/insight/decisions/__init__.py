"""Which steps of a sequence decided an answer.

- ``attribution``  the gradient times the input, and what is lost without a step
- ``question``     what a task asks its model about a sequence
- ``shown``        the steps coloured, for the terminal and as a page
"""

from backtime.insight.decisions.attribution import Decision, contributions, log_odds
from backtime.insight.decisions.question import Question, decide

__all__ = ["Decision", "Question", "contributions", "decide", "log_odds"]
