"""Series of numbers with their times: from a table on disk to windows of past and future. NumPy alone.

- ``table``    a CSV or Parquet file as rows of text, each with its line
- ``times``    points in time as whole numbers, their format, the step from one to the next, the calendar
- ``columns``  which column is what; ``series``: one series with its times; ``gaps`` in time
- ``reader``   a table as series: what is refused and how it is told
- ``windows``  stretches of past and future, and the naive forecasts of them
"""
