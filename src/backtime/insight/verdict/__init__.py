"""What is wrong with the gradient through time, in words.

- ``rules``      ``judge``: all rules together
- ``illnesses``  of one level: saturated, exploding, dead units
- ``reach``      how far back the gradient reaches: vanishing, truncated too early
- ``figures``    what the rules read in a flow
- ``findings``   what a verdict is made of
"""
