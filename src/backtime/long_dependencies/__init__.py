"""How far back can a recurrent network remember? Problems whose delay is chosen, and what helps.

``problems`` draws them, ``remedies`` are what is tried against a vanishing or exploding gradient, ``trial``
trains one network on one problem, ``survey`` all cells and remedies over growing delays. ``backtime bench
memory`` prints what came out, and draws it.

>>> from backtime.long_dependencies.problems import PROBLEMS
>>> x, y = PROBLEMS["adding"].draw(100, 32, numpy.random.default_rng(1))
"""
