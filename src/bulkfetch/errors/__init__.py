"""Every kind of failure: one class, one stable code, one hint.

Four base classes say how far a failure reaches, and each has a module of its own; those of
archives and of control calls are jobs' too:

* `ConfigError`   nothing was started (exit 2)
* `JobError`      one job failed; the run goes on (exit 1 in the end)
* `AccountError`  nothing more can be fetched for one account; other accounts go on (exit 3)
* `RunError`      the whole run stops, safe to run again (exit 3)

Messages never contain a token, a client secret or a request header: they are printed, stored in the
journal and returned to callers unchanged.
"""

from bulkfetch.errors.account import *  # noqa: F403
from bulkfetch.errors.archive import *  # noqa: F403
from bulkfetch.errors.base import *  # noqa: F403
from bulkfetch.errors.control import *  # noqa: F403
from bulkfetch.errors.export import *  # noqa: F403
from bulkfetch.errors.job import *  # noqa: F403
from bulkfetch.errors.run import *  # noqa: F403
