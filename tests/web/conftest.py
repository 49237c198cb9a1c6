"""A gateway in this process, and calls that it has."""

import pytest

from gateway.api.services import SERVICES
from tests.conftest import Client
from tests.web.made_calls import MadeCalls

VIEW_KEY = "view-secret"
ADMIN_KEY = "admin-secret"


@pytest.fixture
def made(gateway: Client) -> MadeCalls:
    """Makes calls at `gateway`."""
    return made_at(gateway)


def made_at(gateway: Client) -> MadeCalls:
    assert gateway.app
    return MadeCalls(gateway.app[SERVICES])
