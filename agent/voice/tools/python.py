"""Tools that are Python functions of the operator's own."""

import importlib
import inspect
from operator import attrgetter

from livekit.agents import FunctionTool
from livekit.agents.llm import RawFunctionTool

from agent.profiles.profile import PythonTool
from agent.voice.tools.bounds import KnownTool, with_bounds


class PythonToolInvalid(Exception):
    """The text says what is wrong with `module:function`."""


def python_tool(tool: PythonTool) -> KnownTool:
    """Imports the module. Raises PythonToolInvalid."""
    module, _, function = tool.function.partition(":")
    try:
        found = attrgetter(function)(importlib.import_module(module))
    except Exception as error:  # whatever the module raises
        raise PythonToolInvalid(f"cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, FunctionTool | RawFunctionTool):
        raise PythonToolInvalid("must be decorated with livekit.agents.function_tool")
    if not inspect.iscoroutinefunction(inspect.unwrap(found)):
        raise PythonToolInvalid("must be an async function")
    return with_bounds(found, tool)
