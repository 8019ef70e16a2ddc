"""What holds for all tests."""

from tests.support.moto_server import moto, moto_process
from tests.support.postgres import database, postgres
from tests.support.signals import heed_in_children

__all__ = ["database", "moto", "moto_process", "postgres"]

heed_in_children()
