"""The spine: ids → journal → one coroutine per live job → outcomes, in one task group.

* `engine`    the frame of every run, from its beginning to its end; `handle` what its reader holds
* `run`       one list brought to its end: journal, outcomes, and the order in which all ends;
              `idle_jobs` those of its jobs that need no work
* `accounts`  the workers of a run, and what they share; none for a list that is all done
* `account`   one account's jobs: fetch, publish, journal, report; what follows from failures
* `dispatch`  which job starts next, and when; `retry_queue` those that wait, `health` the account's
* `publish`   from a complete ZIP to a published file
* `outcomes`  the way to the reader; `progress` where a run stands
* `layout`    the paths on disk

The pipeline is given its limiters, journal and downloaders from outside.
"""
