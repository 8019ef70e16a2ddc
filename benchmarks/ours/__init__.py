"""Programs that drive bulkfetch for a measurement; each is run as a file, in a process of its own.

They import the bulkfetch that PYTHONPATH names, which may be that of another revision, and nothing
of this package but what lies here.
"""
