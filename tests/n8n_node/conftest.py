"""The node package, built once for all of its tests."""

import pytest

from tests.n8n_node import package


@pytest.fixture(scope="session")
def built_package(server_process: None) -> None:
    package.npm_run("build")
