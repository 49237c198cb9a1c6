"""What is kept of calls: today's counts, export, deletion of a caller's data, who did what."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from gateway.api.auth import ADMIN, READ
from gateway.api.endpoints import Endpoint, Request, client_of
from gateway.api.limits import Workload
from gateway.api.schemas.history import (
    AuditQuerySchema,
    AuditSchema,
    CallerSchema,
    DeletedSchema,
    TodaySchema,
)
from gateway.api.schemas.listing import ExportQuerySchema
from gateway.calls import spreadsheet
from gateway.errors import ErrorCode
from gateway.history.audit import Action


@Endpoint(
    "GET",
    "/livekit-api/today",
    "How many calls began since midnight, and how they ended",
    authentication=READ,
    answers={200: TodaySchema},
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
    workload=Workload.NEW_CALLS,
)
async def today(request: Request) -> web.Response:
    return web.json_response(asdict(await request.services.calls.today()))


@Endpoint(
    "GET",
    "/livekit-api/export.jsonl",
    "All calls with everything about them: a line of JSON for each",
    authentication=READ,
    query=ExportQuerySchema(),
    answers={200: {"type": "string"}},
    answer_type="application/x-ndjson",
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
    workload=Workload.EXPORTS,
)
async def export_jsonl(request: Request) -> web.StreamResponse:
    return await _export(request, "jsonl", lambda call: json.dumps(call) + "\n")


@Endpoint(
    "GET",
    "/livekit-api/export.csv",
    "All calls as a table, without their transcripts",
    authentication=READ,
    query=ExportQuerySchema(),
    answers={200: {"type": "string"}},
    answer_type="text/csv",
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
    workload=Workload.EXPORTS,
)
async def export_csv(request: Request) -> web.StreamResponse:
    return await _export(request, "csv", spreadsheet.line, spreadsheet.header())


@Endpoint(
    "POST",
    "/livekit-api/callers/delete",
    "Delete the ended calls with a person: all that is stored of them",
    authentication=ADMIN,
    body=CallerSchema(),
    answers={200: DeletedSchema},
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
)
async def delete_caller(request: Request) -> web.Response:
    number: str = request.body["number"]
    deleted, active = await request.services.calls.delete_caller(number)
    detail = f"{deleted} calls with {number}"
    request.services.audit.record(Action.DELETE, client=client_of(request), detail=detail)
    return web.json_response({"deleted": deleted, "active": active})


@Endpoint(
    "GET",
    "/livekit-api/audit",
    "Who hung up, transferred, retried a callback, signed in, exported or deleted: newest first",
    authentication=ADMIN,
    query=AuditQuerySchema(),
    answers={200: AuditSchema},
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
)
async def audit(request: Request) -> web.Response:
    entries, before = await request.services.audit.page(**request.query)
    content = {"entries": [asdict(entry) for entry in entries], "next_before": before}
    return web.json_response(content)


async def _export(
    request: Request, name: str, line: Callable[[Mapping[str, Any]], str], header: str = ""
) -> web.StreamResponse:
    """Stream the calls; a failure on the way breaks the connection, so that it does not look whole.

    The first call is read before the status is sent: a history that is away is a 503.
    """
    calls = aiter(request.services.calls.export(request.query))
    first = await anext(calls, None)
    request.services.audit.record(
        Action.EXPORT, client=client_of(request), detail=request.http.query_string
    )
    response = web.StreamResponse(
        headers={"Content-Disposition": f'attachment; filename="calls.{name}"'}
    )
    response.content_type = "text/csv" if header else "application/x-ndjson"
    response.charset = "utf-8"
    await response.prepare(request.http)
    await response.write(header.encode())
    async for text in _lines(first, calls, line):
        await response.write(text.encode())
    return response


async def _lines(
    first: Mapping[str, Any] | None,
    others: AsyncIterator[Mapping[str, Any]],
    line: Callable[[Mapping[str, Any]], str],
) -> AsyncIterator[str]:
    if first is not None:
        yield line(first)
        async for call in others:
            yield line(call)
