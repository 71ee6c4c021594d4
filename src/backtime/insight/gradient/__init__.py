"""The gradient through time of the recurrent layers inside any PyTorch model.

- ``flows``         ``flow`` and ``flow_of``: from a model and a batch to a ``Flow``
- ``through_time``  the gradient of every loss, taken back through time in one pass
- ``truncated``     the gradient of the weights when backpropagation is truncated
- ``gates``         how gates and units are used
"""
