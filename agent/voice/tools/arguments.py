"""The arguments of a tool call, which a model may get wrong."""

from collections.abc import Mapping

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from livekit.agents import ToolError


def check_arguments(validator: Draft202012Validator, arguments: Mapping[str, object]) -> None:
    """Raise ToolError, which tells the model what is wrong, unless the arguments are valid."""
    if error := best_match(validator.iter_errors(arguments)):
        path = ".".join(map(str, error.absolute_path))
        where = f"the argument {path}" if path else "the arguments"
        raise ToolError(f"{where} cannot be used: {error.message}")
