"""What units do on a text.

- ``following``  which simple property of the text each unit follows
- ``shown``      its activation over the characters, for the terminal and as a page
"""
