"""Training by truncated backpropagation through time.

- ``settings``    every choice of a run, checked; ``presets`` are named sets of them
- ``loop``        the steps, validations and saves, in order
- ``state``       what a run remembers from step to step
- ``saving``      when that state is saved, and the ways back to a save
- ``checkpoint``  the same on disk, whole, for an exact resume
- ``run_folder``  the folder a run lives in, and its lock
- ``divergence``  is the run still sound, and if not, where it broke
- ``optimisers``  the optimiser, from torch.optim
- ``schedule``    the learning rate of each step
- ``metrics``     the numbers of a log line
- ``signals``     Ctrl-C and SIGTERM
- ``task``        what the loop asks of a job
- ``progress``    what the user sees meanwhile
- ``curves``      the picture of a run

Nothing is imported here: the command line reads ``settings`` without PyTorch.
"""
