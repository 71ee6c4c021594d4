"""A derivation to read and to look at.

- ``text``      for the terminal, and as a value for JSON
- ``latex``     as a document
- ``pictures``  the unfolded network with a path marked, as SVG and PNG
- ``panel``     one such network on matplotlib's axes; ``layout`` says where its nodes stand
- ``overview``  the picture where the paths are too many to draw
"""
