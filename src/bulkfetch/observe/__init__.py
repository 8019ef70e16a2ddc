"""News and progress of a run, made fit to be seen: by people, by log files, by programs.

* `text`      sizes, times and foreign text in words
* `wording`   which events are told, and how
* `outlook`   how long a run will take: the window's schedule
* `standing`  one line on where a run stands
* `plain`     progress in a log file
* `records`   outcomes and reports as JSON objects
* `live`      the display on a terminal (rich, imported when it is shown)

Everything here takes values and gives values; nothing knows of commands or of files, but `live`,
which draws into the file it is given.
"""
