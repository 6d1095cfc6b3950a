"""The contract of a route: what it takes, what it gives, how it fails; read, written and told.

Bodies and documents are structs: `msgspec` reads and writes them in one pass, refuses unknown
fields, and gives their JSON schemas, which stand in the OpenAPI document.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, bodies, documents, problems
from hms_async.api.bundle import as_file, file_name
from hms_async.errors import RequestInvalid

T = TypeVar("T")

JSON: Final = "application/json"
_COMMON: Final = (400, 401, 403, 421, 429, 500, 503)
_WITH_BODY: Final = (413, 422)
_REF: Final = "#/components/schemas/{name}"
_encode = msgspec.json.Encoder().encode


async def read(request: Request, kind: type[T], *, optional: bool = False) -> T:
    """Return the body of a request.

    Args:
        request: The request.
        kind: What it is to be.
        optional: Whether an empty body stands for `{}`.

    Raises:
        RequestInvalid: If it is something else; its path says where.
    """
    data = await request.body() or (b"{}" if optional else b"")
    return cast("T", decode(data, kind))


def decode(data: bytes, kind: Any) -> Any:
    """Return a body from its bytes.

    Raises:
        RequestInvalid: If it is something else than what is expected.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise problems.invalid_body(error) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RequestInvalid(f"the body cannot be read: {error}") from error


class _Peek(msgspec.Struct):
    tasks: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


async def read_one_or_many(request: Request, one: type[T]) -> tuple[list[T], bool]:
    """Return one body, or those in its `tasks`; and whether there are many.

    Raises:
        RequestInvalid: If it is something else.
    """
    data = await request.body()
    if has_many(data):
        return decode(data, bodies.Many[one]).tasks, True  # type: ignore[valid-type]
    return [decode(data, one)], False


def has_many(data: bytes) -> bool:
    """Whether a body is about several tasks.

    Raises:
        RequestInvalid: If it is no JSON object.
    """
    return decode(data, _Peek).tasks is not msgspec.UNSET


def answer(document: Any, status: int = 200) -> Response:
    """Return a document as a response."""
    return Response(_encode(document), status, media_type=JSON)


def download(bundle: documents.IncidentBundle) -> Response:
    """Return an incident bundle as a file to be kept."""
    headers = {"Content-Disposition": f'attachment; filename="{file_name(bundle)}"'}
    return Response(as_file(bundle), headers=headers, media_type=JSON)


def takes(*kinds: Any, also: Iterable[str] = (), optional: bool = False) -> dict[str, Any]:
    """Return what OpenAPI says of the body that a route takes: one of these kinds."""
    content: dict[str, Any] = {JSON: {"schema": _one_of(kinds)}}
    for media_type in also:
        content[media_type] = {"schema": {"type": "string"}}
    return {"requestBody": {"required": not optional, "content": content}}


def gives(
    *kinds: Any,
    status: int = 200,
    others: Mapping[int, Iterable[Any]] | None = None,
    also: Iterable[str] = (),
    refuses: Iterable[int] = (),
    body: bool = False,
) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the answers of a route.

    Args:
        kinds: What it gives, one of them.
        status: With which status.
        others: What it gives with another status, one of several kinds.
        also: Other types of media that it gives with 200.
        refuses: With which statuses of its own it fails.
        body: Whether it takes a body, which may be refused.
    """
    found: dict[int | str, dict[str, Any]] = {status: _response(_one_of(kinds), JSON)}
    for code, kind in (others or {}).items():
        found[code] = _response(_one_of(kind), JSON)
    for media_type in also:
        found[HTTPStatus.OK.value]["content"][media_type] = {"schema": {"type": "string"}}
    problem = _one_of((problems.Problem,))
    for code in sorted({*_COMMON, *refuses, *(_WITH_BODY if body else ())}):
        found[code] = _response(problem, problems.MEDIA_TYPE)
    return found


def _response(schema: Any, media_type: str) -> dict[str, Any]:
    return {"description": "", "content": {media_type: {"schema": schema}}}


def _one_of(kinds: Iterable[Any]) -> dict[str, Any]:
    refs = [{"$ref": _REF.format(name=_name(kind))} for kind in kinds]
    return refs[0] if len(refs) == 1 else {"oneOf": refs}


def _name(kind: Any) -> str:
    """Return the name under which msgspec describes a struct."""
    parts = [get_origin(kind) or kind, *get_args(kind)]
    return "_".join([part.__name__ for part in parts]) + ("_" if len(parts) > 1 else "")


def schemas() -> dict[str, Any]:
    """Return the JSON schemas of all bodies, documents and problems, by name."""
    kinds = [
        one
        for module in (answers, bodies, documents, problems)
        for name, one in vars(module).items()
        if isinstance(one, type)
        and issubclass(one, msgspec.Struct)
        and one.__module__ == module.__name__
        and not name.startswith("_")
        and one is not bodies.Many
    ]
    _, components = msgspec.json.schema_components([*kinds, *bodies.BATCHES], ref_template=_REF)
    return components
