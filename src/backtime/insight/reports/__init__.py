"""A flow with its verdict, to read and to look at.

- ``report``    both together, and as JSON
- ``terminal``  for the terminal
- ``pictures``  as PNG and SVG
- ``page``      as one interactive HTML page; its parts are ``page_words``, ``page_curves``, ``page_panels``
"""
