"""Run a command and tell what the system accounts to it: `launch.py REPORT COMMAND …`.

A process of its own, as small as Python gets (`-I -S`): Linux counts the size of whoever started a
program into that program's peak RSS, so what is smaller than this interpreter, some 9 MB, is told
as that. (exec hands the old image's high-water mark on to the new one.)
"""

import json
import os
import sys
import time


def main() -> int:
    """Write the accounts to the file REPORT; give the command's exit status."""
    report, command = sys.argv[1], sys.argv[2:]
    begin = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.monotonic() - begin
    accounts = {
        "wall_s": wall_s,
        "user_s": usage.ru_utime,
        "sys_s": usage.ru_stime,
        "rss_bytes": usage.ru_maxrss * 1024,
        "page_faults": usage.ru_minflt + usage.ru_majflt,
        "switches": usage.ru_nvcsw + usage.ru_nivcsw,
    }
    with open(report, "w", encoding="ascii") as file:
        json.dump(accounts, file)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
