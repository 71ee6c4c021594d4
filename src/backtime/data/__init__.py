"""From files on disk to batches of numbers, in little memory; standard library and NumPy only.

- ``text``      a corpus of text files, its vocabulary, and the corpus as numbers
- ``timeseries``, ``scaling``  tables of series: times, columns, windows of past and future, scales
- ``pianoroll``, ``midi``  pieces of music as frames of 88 keys
- ``batching``  streams of one long row for truncated backpropagation; buckets of records by their length

Nothing is imported here, so that the runtime can take ``text.vocabulary`` alone.
"""
