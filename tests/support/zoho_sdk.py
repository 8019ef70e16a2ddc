"""Zoho's own SDK, pointed at a server on this machine."""

from __future__ import annotations

import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
    from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
    from zohocrmsdk.src.com.zoho.crm.api import Initializer
    from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter
    from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig


def initialize(url: str, folder: Path) -> None:
    """Have the SDK send its calls to `url`, and keep what it has to remember in `folder`."""
    Initializer.initialize(
        environment=DataCenter.Environment(url, url + "/oauth/v2/token", url),
        token=OAuthToken(
            client_id="client", client_secret="secret", refresh_token="refresh", find_user=False
        ),
        store=FileStore(str(folder / "tokens.csv")),
        sdk_config=SDKConfig(update_api_domain=False),
        resource_path=str(folder),
    )
