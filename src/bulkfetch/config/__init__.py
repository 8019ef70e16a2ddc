"""What is to be done, and with what: jobs.toml, the environment, lists of ids.

The only reader of either. Everything is checked before anything is asked; the answer is frozen.
"""

from bulkfetch.config.bounds import ControlSettings, Limits, WindowSettings
from bulkfetch.config.export import Export
from bulkfetch.config.fields import DataCenter
from bulkfetch.config.ids import job_of, open_jobs
from bulkfetch.config.load import load_settings
from bulkfetch.config.settings import AccountSettings, Credentials, JobEntry, Settings

__all__ = [
    "AccountSettings",
    "ControlSettings",
    "Credentials",
    "DataCenter",
    "Export",
    "JobEntry",
    "Limits",
    "Settings",
    "WindowSettings",
    "job_of",
    "load_settings",
    "open_jobs",
]
