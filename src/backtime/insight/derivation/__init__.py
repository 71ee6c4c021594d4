"""Every path of backpropagation from a loss to a parameter, in signs and in numbers. No PyTorch.

- ``question``     ``paths``: which gradient, of which network, in which names
- ``derivation``   the answer, and whether it adds up to the gradient
- ``enumeration``  the paths, one after the other
- ``counting``     how many there are: by walking, and by binomial coefficients
- ``terms``        what one path, or all that end at one use, contribute
- ``records``      paths with their factors, groups of paths, gradients of states
"""
