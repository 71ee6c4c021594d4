"""A flow of a language model: the loss of each step is that of the symbol it predicts.

- ``reading``  a model, a piece of text, and the report on them
- ``short``    the short form for a line of a training log
"""
