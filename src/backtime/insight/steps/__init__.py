"""One step of a layer backwards, for the gradients of many losses at once.

- ``step``           what a step is: the protocol
- ``plain``          what the cells without options share: a product with one small matrix for each sequence
- ``rnn``, ``gru``, ``lstm``  the cells, in the letters of docs/rnn.md, docs/gru.md and docs/lstm.md
- ``general``        a cell with any option, by autograd over one step
- ``choice``         which of them a layer takes
"""
