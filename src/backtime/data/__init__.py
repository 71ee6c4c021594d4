"""From files on disk to batches of numbers, in little memory; standard library and NumPy only.

- ``text``      a corpus of text files, its vocabulary, and the corpus as numbers
- ``lexicon``   words, characters or labels as numbers
- ``columns``   sentences of tagged words; ``tagged`` numbers them
- ``labelled``  labelled ``examples`` of text, ``series`` of numbers, ``images``; ``classes`` numbers them
- ``captions``  images with texts, ``caption_files`` reads them; ``manifest`` is a table of files and texts,
  ``written`` numbers the texts
- ``timeseries``, ``scaling``  tables of series: times, columns, windows of past and future, scales
- ``pianoroll``, ``midi``  pieces of music as frames of 88 keys
- ``batching``  streams of one long row for truncated backpropagation; buckets of records by their length;
  sentences of words, steps of numbers

Nothing is imported here, so that the runtime can take ``text.vocabulary`` alone.
"""
