"""What becomes of a submission in the fleet's journal: statements, in the order they are done in.

The rules are those of the local journal (`bulkfetch.journal.admission`), for lists of any length at
once: a job that the list names twice is one job; what is done, or has failed for good, is not asked
for again; a name has one owner. A job that is pending keeps its name, one that has ended gives it
to a newer job.

The list is in `fleet_stage` already, in its order. Admissions are done one after the other, each
under one lock: none of them sees half of another one. What workers record meanwhile is no harm.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict

from bulkfetch.errors import InvalidName, JobError, PublishConflict
from bulkfetch.filenames import same_file
from bulkfetch.fleet.codec import ASKED, DONE, DONE_BEFORE, FAILED_BEFORE, PENDING, REFUSED
from bulkfetch.models import Failure, Job
from bulkfetch.pipeline.refusal import refusal

# In the columns' order, as COPY takes it.
StageRow = tuple[int, str, str, str | None, str, str | None]

STAGE = """
    CREATE TEMPORARY TABLE fleet_stage (
        position bigint NOT NULL, account text NOT NULL, id text NOT NULL,
        name text, claim text NOT NULL, refused jsonb
    ) ON COMMIT DROP
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtext('bulkfetch fleet submit'))"
ANALYZE = "ANALYZE fleet_stage"
NAMED = "SELECT DISTINCT account FROM fleet_stage WHERE refused IS NULL"

# Each job once, with what is known of it, and with the name that it would have.
# A later mention is left out, or refused where it names the job otherwise.
LIST = f"""
    CREATE TEMPORARY TABLE fleet_list ON COMMIT DROP AS
    WITH mention AS (
        SELECT *, row_number() OVER same AS nth, first_value(coalesce(name, id)) OVER same AS first
        FROM fleet_stage WHERE refused IS NULL
        WINDOW same AS (PARTITION BY account, id ORDER BY position)
    )
    SELECT mention.position, account, id, mention.name, job.state AS known,
        CASE WHEN nth > 1 THEN {REFUSED}
            WHEN job.state IS NULL OR job.state = {PENDING} OR $1 THEN {ASKED}
            WHEN job.state = {DONE} THEN {DONE_BEFORE}
            WHEN job.outcome -> 'error' ->> 'code' = ANY($2::text[]) THEN {FAILED_BEFORE}
            ELSE {ASKED} END::smallint AS kind,
        CASE WHEN job.state IN ({PENDING}, {DONE}) AND NOT ($1 AND job.state = {DONE})
            THEN CASE WHEN job.owns THEN job.claim END ELSE mention.claim END AS claim,
        CASE WHEN nth > 1 THEN replace($3, '{{id}}', id)::jsonb
            WHEN job.state = {PENDING} AND mention.name <> coalesce(job.name, id)
            THEN replace($4, '{{id}}', id)::jsonb END AS refused
    FROM mention LEFT JOIN bulkfetch.fleet_job AS job USING (account, id)
    WHERE nth = 1 OR mention.name <> first AND job.state IS DISTINCT FROM {DONE}
"""
# Of two jobs of the list with one name the first has it, whatever becomes of it; so has a job that
# is pending by an earlier list.
REFUSE = f"""
    WITH rival AS (
        SELECT position, first_value(id) OVER same AS id FROM fleet_list
        WHERE refused IS NULL AND claim IS NOT NULL
        WINDOW same AS (PARTITION BY account, claim ORDER BY position)
    ), owner AS (
        SELECT list.position, job.id FROM fleet_list AS list
        JOIN bulkfetch.fleet_job AS job USING (account, claim)
        WHERE list.refused IS NULL AND job.owns AND job.state = {PENDING}
    )
    UPDATE fleet_list AS list SET kind = {REFUSED}, refused = coalesce(
        list.refused, replace($1, '{{id}}', found.id)::jsonb)
    FROM (SELECT * FROM rival UNION ALL SELECT * FROM owner) AS found
    WHERE found.position = list.position AND found.id <> list.id AND list.kind = {ASKED}
"""
MARK = f"UPDATE fleet_list SET kind = {REFUSED} WHERE refused IS NOT NULL AND kind <> {REFUSED}"
# Before anybody takes a name: within one list names may be swapped.
GIVE_UP = f"""
    UPDATE bulkfetch.fleet_job AS job SET owns = false
    FROM fleet_list AS list
    WHERE list.kind = {ASKED} AND list.known IS DISTINCT FROM {PENDING} AND job.owns
        AND job.account = list.account AND job.claim = list.claim
        AND job.state <> {PENDING}
"""
AGAIN = f"""
    UPDATE bulkfetch.fleet_job AS job SET
        state = {PENDING}, name = list.name, claim = list.claim, owns = true, again = $1,
        submitted_at = now(), ended_at = NULL, ended_in = NULL
    FROM fleet_list AS list
    WHERE list.kind = {ASKED} AND job.account = list.account AND job.id = list.id
        AND job.state = list.known AND job.state <> {PENDING}
"""
PENDING_AGAIN = f"""
    UPDATE bulkfetch.fleet_job AS job SET again = true
    FROM fleet_list AS list
    WHERE list.kind = {ASKED} AND job.account = list.account AND job.id = list.id
        AND job.state = {PENDING} AND NOT job.again
"""
INSERT = f"""
    INSERT INTO bulkfetch.fleet_job (account, id, name, claim, again)
    SELECT account, id, name, claim, $1 FROM fleet_list
    WHERE kind = {ASKED} AND known IS NULL ORDER BY position
"""
ITEMS = f"""
    INSERT INTO bulkfetch.fleet_item (submission, position, account, id, kind, refused)
    SELECT $1::bigint, position, account, id, kind, refused FROM fleet_list
    UNION ALL
    SELECT $1::bigint, position, account, id, {REFUSED}, refused
    FROM fleet_stage WHERE refused IS NOT NULL
"""
COUNT = f"""
    UPDATE bulkfetch.fleet_submission SET items = counted.items
    FROM (SELECT count(*) AS items, count(*) FILTER (WHERE kind = {ASKED}) AS asked,
            count(*) FILTER (WHERE kind = {DONE_BEFORE}) AS done_before,
            count(*) FILTER (WHERE kind = {FAILED_BEFORE}) AS failed_before,
            count(*) FILTER (WHERE kind = {REFUSED}) AS refused
        FROM bulkfetch.fleet_item WHERE submission = $1) AS counted
    WHERE id = $1
    RETURNING counted.*
"""
# An export that is pending is joined: in full, if either of the two is. One that has ended is begun
# again. An account's are done in the order in which they are first named.
EXPORTS = f"""
    INSERT INTO bulkfetch.fleet_export AS known (account, name, whole)
    SELECT account, name, $3 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY
        AS wanted (account, name, position)
    ORDER BY position
    ON CONFLICT (account, name) DO UPDATE SET
        state = {PENDING}, whole = excluded.whole OR known.whole AND known.state = {PENDING},
        report = CASE WHEN known.state = {PENDING} THEN known.report END,
        submitted_at = now(), ended_at = NULL, ended_in = NULL
"""
EXPORT_ITEMS = f"""
    INSERT INTO bulkfetch.fleet_export_item (submission, position, account, name, kind)
    SELECT $1, position - 1, account, name, {ASKED}
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS wanted (account, name, position)
"""
ACCOUNTS = f"""
    SELECT account FROM bulkfetch.fleet_item WHERE submission = $1 AND kind = {ASKED}
    UNION
    SELECT account FROM bulkfetch.fleet_export_item WHERE submission = $1 AND kind = {ASKED}
    ORDER BY account
"""
# An account that was held is tried anew: somebody may have mended it.
RELEASE = """
    INSERT INTO bulkfetch.fleet_account AS known (account)
    SELECT unnest($1::text[])
    ON CONFLICT (account) DO UPDATE SET held = NULL WHERE known.held IS NOT NULL
"""


def stage_row(position: int, job: Job, accounts: Container[str]) -> StageRow:
    """Return a job of the list as a row of the stage; `accounts` are those of the settings."""
    refused = refusal(job, accounts)
    if refused is None:
        return position, job.account, job.id, job.name, same_file(job.place), None
    return position, refused.job.account, refused.job.id, None, "", _text(refused.error)


def renamed_texts() -> tuple[str, str]:
    """Return why a job is refused that has another name: in this list, in the queue. As JSON.

    `{id}` stands for the job's id, here and below.
    """
    return (
        _text(
            InvalidName(
                "the list has job {id} a second time, under another name",
                hint="Give the job one name; its first mention is the one that counts.",
            )
        ),
        _text(
            InvalidName(
                "job {id} was submitted before under another name, and is still to be fetched",
                hint="Wait until it is done, or leave the name out.",
            )
        ),
    )


def conflict_text() -> str:
    """Return why a job is refused whose name another one has, as JSON; `{id}` is that one's."""
    return _text(
        PublishConflict(
            "job {id}, which comes first, would be published under the same name",
            hint="Give one of them another name, or wait until the other one is done.",
        )
    )


def _text(error: JobError) -> str:
    return json.dumps(asdict(Failure.of(error)))
