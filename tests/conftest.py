"""What holds for all tests."""

from tests.support.signals import heed_in_children

heed_in_children()
