"""Events, progress and outcomes of a run, made readable: for people, log files and programs.

* `messages`        which events are reported, and in which words
* `eta`             how long a run will take: the window's schedule
* `summary`         the state of a run in one line
* `transfers`       how far each transfer is
* `failures`        why jobs failed, in groups
* `plain_renderer`  progress in a log file
* `live_renderer`   progress on a terminal (rich, imported when it is shown)
* `records`         outcomes and reports as JSON objects
* `event_shapes`    what each line of an events file may hold, and its JSON Schema
* `event_lines`     events as such lines
* `event_counts`    events as Prometheus's counters (prometheus-client, imported with it)

All functions are pure; only the live renderer writes, to the file that it is given, and only
`event_counts` keeps what it was told.
"""
