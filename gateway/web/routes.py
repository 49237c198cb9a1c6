"""The pages; `PAGES` are the routes that `app.py` adds to those of the API."""

from gateway.api.endpoints import Endpoint
from gateway.web.sign_in import sign_in, sign_in_form, sign_out
from gateway.web.static_files import static_file

PAGES: tuple[Endpoint, ...] = (sign_in_form, sign_in, sign_out, static_file)
