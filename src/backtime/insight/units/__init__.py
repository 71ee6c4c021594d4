"""What units do on a text or another sequence.

- ``following``  which simple property of the sequence each unit follows
- ``shown``      its activation over the steps, for the terminal and as a page
"""
