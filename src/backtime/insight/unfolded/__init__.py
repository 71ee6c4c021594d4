"""The unfolded network that is derived: its graph, its numbers, its partial derivatives. No PyTorch.

- ``graph``            which quantity is computed from which
- ``network``          weights, input, target and loss
- ``network_files``    the same from a trained model and a text, or from JSON
- ``output``           output unit and loss of one step
- ``partials``         every partial derivative as a number
- ``backpropagation``  the gradient by ``backtime.reference``, which the paths must add up to
- ``notation``         names of quantities and steps, as text and as LaTeX
"""
