"""What ``tasks.runs`` is made of.

- ``request``     the command line's wishes as settings
- ``same_data``   the data of a run that goes on, and a copy of standard input
- ``together``    where each of several processes writes
- ``summary``     the last lines of a run
"""
