"""What tasks share, each of its own kind.

- ``settings``     of a recurrent network, and of one that makes one vector of a whole sequence
- ``recurrence``   what recurs: the state, the output, or the state with one loss at the end
- ``network_task`` a network that is trained, in batches of records about as long as each other
- ``examples``     classify and regress: one answer for a whole text, series, image or clip;
  ``example_kind`` is what both are to the command line
- ``writing``      translate and caption: a text is written
- ``scores``       measures of other libraries: scikit-learn, seqeval, sacrebleu, jiwer, SciPy
"""
