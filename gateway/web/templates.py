"""The templates under `templates/`, with the functions that they use."""

import aiohttp_jinja2
import jinja2
from aiohttp import web

from gateway import __version__
from gateway.web.static_files import static_url
from gateway.web.words import FILTERS, unmisleading


def set_up_templates(app: web.Application) -> None:
    """All text is escaped and shown as it is; a name that a template does not get is an error."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("gateway.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=unmisleading,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        default_helpers=False,
    )
    environment.globals |= {"static": static_url, "version": __version__}
    environment.filters |= FILTERS
