"""The event loop of this folder's async tests."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
