"""Doing exports: pages created, asked for, handed to a run of downloads, counted, published.

Decisions are in `exports`; here they are carried out.

* `context`   what all exports of one call share
* `exporter`  several exports, brought to their ends or to a stop: `Exporter`
* `wanted`    which exports a call is about, each with its account
* `starting`  they are checked, gone on with, or begun: `Starter`
* `work`      one export under way: its rows in the journal, and what they come to
* `beginning` what an export has to do first: go on, or begin a new generation (pure)
* `again`     it begins again in a fresh generation, where it cannot go on
* `accounts`  what holds for all exports of an account
* `creating`  its pages are created, one after the other
* `asking`    an account's jobs are asked for until they are ready
* `ready`     what is ready, handed on to the run of downloads
* `finishing` the folder is described, published, and the cursor committed
* `totals`    what became of each, and of the pages of all of them in one sum
* `handle`    what the caller holds: `ExportRun`
"""
