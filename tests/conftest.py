"""What holds for all tests."""

from hypothesis import HealthCheck, settings
from tests.support.moto_server import moto, moto_process
from tests.support.postgres import database, postgres, shared_store
from tests.support.signals import heed_in_children

__all__ = ["database", "moto", "moto_process", "postgres", "shared_store"]

heed_in_children()

# No test asserts how fast the machine is; beside other tests it may be slow.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.load_profile("suite")
