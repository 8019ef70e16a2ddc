"""Zoho's own SDK as an independent judge: it creates, polls and downloads from the sandbox."""

from __future__ import annotations

import time
import warnings
import zipfile
from pathlib import Path

import pytest

from bulkfetch.sandbox import SandboxOptions, SandboxThread

pytestmark = pytest.mark.slow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
    from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
    from zohocrmsdk.src.com.zoho.crm.api import Initializer
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import (
        BodyWrapper,
        BulkReadOperations,
        FileBodyWrapper,
        Query,
    )
    from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter
    from zohocrmsdk.src.com.zoho.crm.api.modules import MinifiedModule
    from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig


@pytest.mark.filterwarnings("ignore")
def test_zohos_sdk_gets_its_export(tmp_path: Path) -> None:
    """The SDK refreshes a token, creates a job, sees its states and gets the right ZIP."""
    options = SandboxOptions(records=50, prepare_s=0.6)
    with SandboxThread(options) as thread:
        _initialize(thread.url, tmp_path)
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


def _initialize(url: str, folder: Path) -> None:
    Initializer.initialize(
        environment=DataCenter.Environment(url, url + "/oauth/v2/token", url),
        token=OAuthToken(
            client_id="client", client_secret="secret", refresh_token="refresh", find_user=False
        ),
        store=FileStore(str(folder / "tokens.csv")),
        sdk_config=SDKConfig(update_api_domain=False),
        resource_path=str(folder),
    )


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
