"""What each task asks its model about a sequence, for ``backtime flow --units``; needs PyTorch.

- ``examples``  the label or the number of a whole example     - ``sessions``  the next item
- ``words``     the least sure tag of a sentence               - ``pairs``     how alike two texts are
- ``windows``   the forecast of the first and the last step    - ``pieces``    the likeliest next key
- ``writing``   each symbol of a translation or caption        - ``sound``     each character of a transcript
"""
