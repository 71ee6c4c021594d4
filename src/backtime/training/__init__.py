"""Training by truncated backpropagation through time.

- ``settings``    what every run has to choose, checked; a task adds its own
- ``task``        what the loop asks of a task
- ``metrics``     what a validation measures, and which way is better
- ``run``         a run: its task, its settings, where it stands
- ``loop``        the steps, validations and saves, in order
- ``state``       what a run remembers from step to step
- ``carried``     the tensors of the state between steps
- ``text_loss``   the loss of a language model on a whole text
- ``devices``     where a task computes
- ``saving``      when that state is saved, and the ways back to a save
- ``checkpoint``  the same on disk, whole, for an exact resume
- ``run_folder``  the folder a run lives in, and its lock
- ``divergence``  is the run still sound, and if not, where it broke
- ``optimisers``  the optimiser, from torch.optim
- ``schedule``    the learning rate of each step
- ``record``      the numbers of a log line
- ``signals``     Ctrl-C, SIGTERM, a terminal that closes
- ``progress``    what the user sees meanwhile
- ``curves``      the picture of a run

Nothing is imported here: the command line reads ``settings`` without PyTorch.
"""
