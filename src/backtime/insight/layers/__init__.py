"""The recurrent layers of a model, as a batch has gone through them.

- ``recording``  what each layer was called with, and the gradient that the loss hands it
- ``stacks``     from a recorded call to levels: layers, directions, lengths, states
- ``levels``     one layer in one direction, with all that a step back through time asks for
"""
