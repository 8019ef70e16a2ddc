"""The spine: ids → journal → lanes (one per account) → finish → outcomes, in one task group.

* `run`       one list brought to its end: journal, outcomes, and the order in which all ends
* `traffic`   the lanes and finishers, tied together with bounded streams; none for a list all done
* `lane`      the requests of one account; `waiting` its jobs, `work` what it is given
* `finish`    from a complete ZIP to a published file; `deliveries` the way there
* `outcomes`  the way to the reader; `progress` where a run stands
* `places`    the layout on disk; `staging` how much may wait there

The pipeline is given its window, journal and doors from outside.
"""
