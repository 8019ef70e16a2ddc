"""What holds for all tests."""

from tests.support.postgres import database, postgres
from tests.support.signals import heed_in_children

__all__ = ["database", "postgres"]

heed_in_children()
