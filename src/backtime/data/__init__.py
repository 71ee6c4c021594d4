"""From files on disk to batches of numbers, in little memory; standard library and NumPy only.

- ``text``      a corpus of text files, its vocabulary, and the corpus as numbers
- ``batching``  streams of one long row for truncated backpropagation; buckets of records by their length

Nothing is imported here, so that the runtime can take ``text.vocabulary`` alone.
"""
