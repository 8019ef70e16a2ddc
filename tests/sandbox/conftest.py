"""What the tests of the sandbox share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, the only loop that aiohttp has."""
    return "asyncio"
