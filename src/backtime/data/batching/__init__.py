"""Examples side by side, in an order that a resumed run finds again.

- ``streams``  one long row of numbers cut into contiguous streams, read chunk by chunk
- ``buckets``  many records of unequal length: batches of records about as long as each other
- ``words``    sentences, and the spelling of each different word once
- ``steps``    symbols of a text, or scaled numbers
"""
