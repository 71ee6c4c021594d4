"""Labelled series of numbers, of several channels and unequal lengths.

- ``ts``        ``.ts`` files
- ``tables``    CSV: a series a line, or a step a line; JSON lines
- ``archives``  NPZ
- ``numbers``   what all of them read: finite numbers
"""
