"""Text, from its files to symbol numbers.

- ``corpus``      find the files of a corpus
- ``readers``     read them in pieces
- ``lines``       a file or standard input line by line
- ``counting``    a vocabulary from a text, counted in pieces
- ``symbols``     what a symbol is at each level
- ``subwords``    pieces of words, learned
- ``vocabulary``  symbols to numbers and back
- ``decoders``    numbers to text, one at a time
- ``token_file``  the numbers of a corpus in one file
- ``tokens``      a corpus into its token file, once
- ``parts``       what is trained on and what is held out
"""
