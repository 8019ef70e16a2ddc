"""What has been done and what is to do, kept so that no death of the process loses or doubles it.

* `lock`    one run at a time per output folder
* `journal` the run's queue and memory: `Journal`
* `queue`   which jobs are to do, and what became of them: statements
* `admission` what becomes of a list's jobs, and which of them a name belongs to
* `ownership` which job published what stands under a name: statements
* `entries` the values
* `exports` names, generations and pages of exports: `ExportTables`, the `ExportStore` of a folder
* `export_rows` their values, and what every `ExportStore` does; `export_codec` to columns and back,
  `export_tables` the statements that make the tables
* `reader`  the same file for questions only, beside a running writer: `JournalReader`
* `writer`  the one thread that owns the writing connection, and its group commit
* `schema`  tables, versions, how the file is opened; `held` one step between two versions
* `servers` which server each account's results came from
* `runs`    when each list was begun, and at what pace
* `codec`   outcomes to columns and back
* `traces`  what earlier runs left, where the journal knows of none
* `housekeeping` forgetting rows, between runs
* `errors`  SQLite's errors in bulkfetch's words
"""

from bulkfetch.journal.admission import Admission, Admitted, ClaimedNames, Refused, published_stem
from bulkfetch.journal.entries import Counts, Entry, Owner, Rival
from bulkfetch.journal.export_rows import (
    Change,
    ExportRow,
    ExportStore,
    GenerationRow,
    PageFile,
    PageRow,
    PageState,
    StoredExport,
)
from bulkfetch.journal.exports import ExportTables
from bulkfetch.journal.journal import Journal
from bulkfetch.journal.lock import Holder, OutputLock
from bulkfetch.journal.reader import AccountCounts, JournalReader, Known
from bulkfetch.journal.runs import RunPace

__all__ = [
    "AccountCounts",
    "Admission",
    "Admitted",
    "Change",
    "ClaimedNames",
    "Counts",
    "Entry",
    "ExportRow",
    "ExportStore",
    "ExportTables",
    "GenerationRow",
    "Holder",
    "Journal",
    "JournalReader",
    "Known",
    "OutputLock",
    "Owner",
    "PageFile",
    "PageRow",
    "PageState",
    "Refused",
    "Rival",
    "RunPace",
    "StoredExport",
    "published_stem",
]
