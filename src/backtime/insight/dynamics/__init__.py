"""What one step does to a gradient, and what many do.

- ``jacobians``   of one step along a trajectory, and their singular values
- ``exponents``   Lyapunov exponents along it
- ``spectra``     both, of every level of a flow
- ``stationary``  fixed points of a small cell and their stability
"""
