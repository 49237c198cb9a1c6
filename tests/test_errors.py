"""The error codes of the HTTP API: each has a status and a description."""

import pytest

from gateway.errors import ApiError, ErrorCode


@pytest.mark.parametrize("code", ErrorCode)
def test_each_error_code_has_an_error_status_and_a_description(code: ErrorCode) -> None:
    assert 400 <= code.status <= 599
    assert code.description
    assert ErrorCode(str(code)) is code


def test_an_api_error_has_the_status_of_its_code() -> None:
    assert ApiError(ErrorCode.NOT_FOUND, "no such call").status == 404


def test_an_unknown_error_code_is_rejected() -> None:
    with pytest.raises(ValueError, match="no_such_code"):
        ErrorCode("no_such_code")
