"""bucket.py OUT BASE BUCKET FORMAT ID…: results fetched, and published in a bucket, by the program.

BASE and BUCKET are the addresses of the two servers. The window is opened wide, which settings
allow for a server on this machine.
"""

import json
import os
import resource
import sys
from pathlib import Path

from bulkfetch.cli import main as program

SETTINGS = """\
out = {out}
formats = [{format}]
publish_to = "s3://lake/run-{pid}"
[destination]
region = "eu-central-1"
endpoint = {bucket}
[account]
api_domain = {base}
accounts_url = {base}
[account.window]
requests = 1000000
period_s = 0.01
margin_s = 0.0
"""


def main() -> None:
    """Fetch all; tell how large the process was, and what was published."""
    out, base, bucket, form = sys.argv[1:5]
    # Beside the output folder, which must hold nothing else than results.
    file = Path(out).with_name("jobs.toml")
    file.write_text(
        SETTINGS.format(
            out=json.dumps(out),
            pid=os.getpid(),  # what another run has published would be somebody else's
            format=json.dumps(form),
            bucket=json.dumps(bucket),
            base=json.dumps(base),
        )
    )
    # None of which is anybody's; the sink looks at none.
    os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    status = program(["run", os.fspath(file), "--json", "--quiet", *sys.argv[5:]])
    sys.stdout.flush()
    if status != 0:
        os._exit(status)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak_rss_bytes": peak}))


if __name__ == "__main__":
    main()
