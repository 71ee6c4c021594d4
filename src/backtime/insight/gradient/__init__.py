"""The gradient through time of the recurrent layers inside any PyTorch model.

- ``flows``          ``flow`` and ``flow_of``: from a model and a batch to a ``Flow``
- ``through_time``   the gradient of every loss, taken back through time in one pass
- ``rows``           which loss stands where on the way, and in which scale; ``norms`` of all sizes
- ``line``           the share that came on the straight line of cell or state
- ``truncated``      the gradient of the weights when backpropagation is truncated
- ``curves``         from every norm to what is told by lag
- ``contributions``  what each lag adds to each weight
- ``gates``          how gates and units are used
"""
