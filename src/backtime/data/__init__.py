"""From text on disk to batches of symbol numbers, in little memory; standard library and NumPy only.

- ``corpus``      find the files of a corpus
- ``readers``     read them in pieces
- ``counting``    a vocabulary from a text, counted in pieces
- ``symbols``     what a symbol is at each level
- ``vocabulary``  symbols to numbers and back
- ``decoders``    numbers to text, one at a time
- ``token_file``  the numbers of a corpus in one file
- ``tokens``      a corpus into its token file, once
- ``batches``     the training and validation parts, cut into contiguous streams

Nothing is imported here, so that the runtime can take ``vocabulary`` alone.
"""
