"""The health check of the container: of whichever of gateway and worker runs in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from gateway.tools import healthy
from tests.ports import free_port

pytestmark = pytest.mark.field("G4")


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a program that answers every GET with `status`; of nothing for 0."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    port = free_port()
    if not status:
        yield port
        return
    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("gateway", "worker", "code"),
    [(200, 0, 0), (0, 200, 0), (200, 200, 0), (0, 0, 1), (503, 0, 1), (0, 503, 1), (200, 503, 1)],
)
def test_it_is_healthy_if_all_that_runs_is_ready(
    gateway: int, worker: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(gateway) as port, answering(worker) as agent_port:
        monkeypatch.setenv("PORT", str(port))
        monkeypatch.setenv("AGENT_HTTP_PORT", str(agent_port))
        assert healthy.main() == code
