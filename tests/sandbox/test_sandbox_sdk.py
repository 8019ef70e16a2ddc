"""Zoho's own SDK as an independent judge: what it sends is taken, what is answered it reads."""

from __future__ import annotations

import time
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.zoho_sdk import initialize

from bulkfetch.sandbox import JobPlan, SandboxOptions, SandboxThread

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ORG = SandboxOptions(records=25, per_page=10, prepare_s=0.0)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from zohocrmsdk.src.com.zoho.crm.api import HeaderMap, ParameterMap
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import (
        APIException,
        BodyWrapper,
        BulkReadOperations,
        CallBack,
        Criteria,
        FileBodyWrapper,
        Query,
    )
    from zohocrmsdk.src.com.zoho.crm.api.fields import FieldsOperations, MinifiedField
    from zohocrmsdk.src.com.zoho.crm.api.fields.fields_operations import GetFieldsParam
    from zohocrmsdk.src.com.zoho.crm.api.modules import MinifiedModule, ModulesOperations
    from zohocrmsdk.src.com.zoho.crm.api.record import RecordOperations
    from zohocrmsdk.src.com.zoho.crm.api.record.record_operations import (
        GetDeletedRecordsHeader,
        GetDeletedRecordsParam,
    )
    from zohocrmsdk.src.com.zoho.crm.api.util import Choice


def test_zohos_sdk_gets_its_export(tmp_path: Path) -> None:
    """The SDK refreshes a token, creates a job, sees its states and gets the right ZIP."""
    options = SandboxOptions(records=50, prepare_s=3.0)
    with SandboxThread(options) as thread:
        initialize(thread.url, tmp_path)
        operations = BulkReadOperations()

        created = operations.create_bulk_read_job(_leads())
        assert created.get_status_code() == 201
        (success,) = created.get_object().get_data()
        job_id = success.get_details()["id"]

        states = []
        while "COMPLETED" not in states:
            (job,) = operations.get_bulk_read_job_details(int(job_id)).get_object().get_data()
            states.append(job.get_state().get_value())
            time.sleep(0.02)
        assert list(dict.fromkeys(states)) == ["ADDED", "QUEUED", "IN PROGRESS", "COMPLETED"]
        assert job.get_result().get_count() == 50
        assert job.get_result().get_download_url() == f"/crm/bulk/v8/read/{job_id}/result"

        download = operations.download_result(int(job_id)).get_object()
        assert isinstance(download, FileBodyWrapper)
        stream = download.get_file()
        assert stream.get_name().strip('"') == f"{job_id}.zip"
        path = tmp_path / "result.zip"
        path.write_bytes(b"".join(stream.get_stream()))
        with zipfile.ZipFile(path) as archive:
            assert archive.read(f"{job_id}.csv") == thread.sandbox.file_of(str(job_id))
        assert {arrival.kind for arrival in thread.log} == {"token", "create", "status", "result"}


@contextmanager
def serving(folder: Path, options: SandboxOptions) -> Iterator[SandboxThread]:
    """A sandbox at which the SDK is pointed."""
    with SandboxThread(options) as thread:
        initialize(thread.url, folder)
        yield thread


def _job(job_id: str) -> Any:
    (job,) = BulkReadOperations().get_bulk_read_job_details(int(job_id)).get_object().get_data()
    return job


def _created(body: BodyWrapper) -> str:
    answer = BulkReadOperations().create_bulk_read_job(body)
    assert answer.get_status_code() == 201
    (success,) = answer.get_object().get_data()
    details = success.get_details()
    assert details["created_time"].tzinfo is not None
    return str(details["id"])


def _criterion(field: str, comparator: str, value: Any) -> Criteria:
    named = MinifiedField()
    named.set_api_name(field)
    criterion = Criteria()
    criterion.set_field(named)
    criterion.set_comparator(Choice(comparator))
    criterion.set_value(value)
    return criterion


def test_its_criteria_fields_view_and_callback_are_taken(tmp_path: Path) -> None:
    """What the SDK makes of objects finds the same records as a look at all of them."""
    with serving(tmp_path, ORG) as thread:
        since = datetime(2022, 1, 1, tzinfo=UTC)
        both = Criteria()
        both.set_group_operator(Choice("and"))
        between = [since, since + timedelta(days=1000)]
        both.set_group(
            [
                _criterion("Modified_Time", "between", between),
                _criterion("$converted", "equal", False),
            ]
        )
        body = _leads()
        body.get_query().set_criteria(both)
        body.get_query().set_cvid(5725767000000087501)
        body.get_query().set_fields(["Last_Name", "Owner.last_name", "Modified_Time"])
        callback = CallBack()
        callback.set_url("https://www.example.com/callback")
        callback.set_method(Choice("post"))
        body.set_callback(callback)
        job_id = _created(body)
        rows = thread.call(lambda s: s.rows("Leads", ["Modified_Time", "$converted"]))
        expected = [
            row["Id"]
            for row in rows
            if between[0] <= datetime.fromisoformat(row["Modified_Time"]) <= between[1]
            and row["$converted"] == "false"
        ]
        assert 0 < len(expected) < 25
        head, *lines = thread.sandbox.file_of(job_id).decode().splitlines()
        assert head == "Id,Last_Name,Owner.last_name,Modified_Time"
        assert [line.partition(",")[0] for line in lines] == expected[:10]
        assert _job(job_id).get_result().get_count() == min(10, len(expected))


def test_it_follows_the_pages_by_token(tmp_path: Path) -> None:
    """more_records and next_page_token are read; a query of a token alone makes the next page."""
    with serving(tmp_path, ORG) as thread:
        body, counts, pages = _leads(), [], []
        while body is not None:
            result = _job(_created(body)).get_result()
            counts.append(result.get_count())
            pages.append(result.get_page())
            token = result.get_next_page_token()
            assert result.get_more_records() == (token is not None)
            body = None
            if token is not None:
                query = Query()
                query.set_page_token(token)
                body = BodyWrapper()
                body.set_query(query)
        assert (counts, pages) == ([10, 10, 5], [1, 2, 3])
        assert [each.page for each in thread.sandbox.arrivals("create")] == [1, 2, 3]


@pytest.mark.parametrize("place", ["data", "top"])
def test_it_reads_what_create_is_refused_for(tmp_path: Path, place: Any) -> None:
    """Code, message and details arrive, wherever the refusal stands."""
    with serving(tmp_path, SandboxOptions(create_errors=place)):
        body = _leads()
        body.get_query().set_criteria(_criterion("City", "between", ["a", "b"]))
        answer = BulkReadOperations().create_bulk_read_job(body)
        assert answer.get_status_code() == 400
        refused = answer.get_object()
        if place == "data":
            (refused,) = refused.get_data()
        assert isinstance(refused, APIException)
        assert refused.get_code().get_value() == "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED"
        assert "contains" in str(refused.get_details()["supported"])


def test_it_sees_a_failure(tmp_path: Path) -> None:
    """The fifth state is FAILURE; of its reason the SDK keeps nothing."""
    plans = {"Leads": (JobPlan(state="FAILURE"),)}
    with serving(tmp_path, SandboxOptions(records=5, prepare_s=0.0, plans=plans)):
        assert _job(_created(_leads())).get_state().get_value() == "FAILURE"


def test_it_asks_for_a_calendar(tmp_path: Path) -> None:
    """file_type ics at the top, of Events."""
    with serving(tmp_path, ORG) as thread:
        module = MinifiedModule()
        module.set_api_name("Events")
        body = BodyWrapper()
        body.set_query(Query())
        body.get_query().set_module(module)
        body.set_file_type("ics")
        job_id = _created(body)
        assert _job(job_id).get_file_type() == "ics"
        assert thread.sandbox.file_of(job_id).startswith(b"BEGIN:VCALENDAR")


def test_it_reads_the_modules_and_their_fields(tmp_path: Path) -> None:
    """Names, flags, types and lookups come out of the metadata; 204 is nothing."""
    with serving(tmp_path, ORG):
        modules = ModulesOperations().get_modules().get_object().get_modules()
        leads = next(each for each in modules if each.get_api_name() == "Leads")
        assert leads.get_api_supported() is True
        assert leads.get_generated_type().get_value() == "default"
        wanted = ParameterMap()
        wanted.add(GetFieldsParam.module, "Contacts")
        fields = FieldsOperations().get_fields(wanted).get_object().get_fields()
        by_name = {each.get_api_name(): each for each in fields}
        assert by_name["Account_Name"].get_data_type() == "lookup"
        assert by_name["Account_Name"].get_lookup().get_module().get_api_name() == "Accounts"
        assert by_name["Date_of_Birth"].get_json_type() == "string"
        none = ParameterMap()
        none.add(GetFieldsParam.module, "CTI_Entry")
        assert FieldsOperations().get_fields(none).get_status_code() == 204


def test_it_reads_deleted_records_and_the_count(tmp_path: Path) -> None:
    """Ids, kinds and times of what is gone since a time; 204 when there is none."""
    with serving(tmp_path, ORG) as thread:
        before = datetime.now(UTC) - timedelta(hours=1)
        ids = [row["Id"] for row in thread.call(lambda s: s.rows("Leads", []))]
        params, headers = ParameterMap(), HeaderMap()
        params.add(GetDeletedRecordsParam.type, "all")
        params.add(GetDeletedRecordsParam.per_page, 200)
        headers.add(GetDeletedRecordsHeader.if_modified_since, before)
        operations = RecordOperations("Leads")
        assert operations.get_deleted_records(params, headers).get_status_code() == 204
        thread.call(lambda s: s.delete("Leads", ids[0]))
        thread.call(lambda s: s.delete("Leads", ids[1], permanent=True))
        found = operations.get_deleted_records(params, headers).get_object()
        assert [str(each.get_id()) for each in found.get_data()] == [ids[1], ids[0]]
        assert [each.get_type() for each in found.get_data()] == ["permanent", "recycle"]
        assert all(each.get_deleted_time() > before for each in found.get_data())
        assert found.get_info().get_more_records() is False
        assert operations.record_count().get_object().get_count() == 23


def _leads() -> BodyWrapper:
    module = MinifiedModule()
    module.set_api_name("Leads")
    query = Query()
    query.set_module(module)
    query.set_page(1)
    wrapper = BodyWrapper()
    wrapper.set_query(query)
    wrapper.set_file_type("csv")
    return wrapper
