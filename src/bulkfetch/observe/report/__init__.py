"""A run's events as one page of HTML.

* `series`      figures over time in a bounded number of buckets
* `tally`       what is kept of a run: counts, waits, the window, failures
* `gathering`   lines of an events file into a tally, one after the other
* `charts`      inline SVG
* `tables`      the same in figures, and what only tables tell
* `style`       the page's looks
* `page`        the page
"""
