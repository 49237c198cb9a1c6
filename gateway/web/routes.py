"""The pages; `PAGES` are the routes that `app.py` adds to those of the API."""

from gateway.api.endpoints import Endpoint
from gateway.web.bundle import debug_bundle
from gateway.web.call_page import call_page
from gateway.web.calls_page import calls_page
from gateway.web.docs import docs
from gateway.web.live import live_events
from gateway.web.recording import recording
from gateway.web.sign_in import sign_in, sign_in_form, sign_out
from gateway.web.static_files import static_file
from gateway.web.talk_page import talk_page

PAGES: tuple[Endpoint, ...] = (
    calls_page,
    call_page,
    recording,
    debug_bundle,
    live_events,
    docs,
    talk_page,
    sign_in_form,
    sign_in,
    sign_out,
    static_file,
)
