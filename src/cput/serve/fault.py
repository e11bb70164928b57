"""Every error as what a client is told: a status, a code and one sentence. The only place where that is decided.

Each dialect then says the same fault in its own shape (``cput.serve.dialects``). A sentence never shows a key, an
upstream's credentials or a traceback, nor where the ledger and the upstreams stand: that is in the log (``inside``).
"""

import math
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from cput.engines.retry import Throttled
from cput.errors import EngineError, EngineUnavailable, InputError, PromptTooLong, SetupError, UpstreamError
from cput.serve.gate import Refused

RETRY_SOON_S = 1.0
SEE_LOG = "its log says why under this request id"
_PLACE = re.compile(r"^https?://\S+")
_CAUSE = re.compile(r"(can't be reached|in the middle of an answer): .*", re.DOTALL)
PASSED_ON = frozenset({400, 404, 409, 413, 415, 422, 429})
"""An upstream's statuses that speak about the caller's request; all others speak about us, and become 502."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong, as HTTP says it."""

    status: int
    """HTTP status."""
    code: str
    """OpenAI's word for it where there is one."""
    message: str
    """One sentence for a person."""
    param: str | None = None
    """The field of the request that it is about."""
    retry_after_s: float | None = None
    """Seconds after which asking again makes sense; None where it does not."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with it: ``Retry-After`` in whole seconds, rounded up (RFC 9110, 10.2.3)."""
        if self.retry_after_s is None:
            return {}
        return {"retry-after": str(max(1, math.ceil(self.retry_after_s)))}


class BadRequest(InputError):  # noqa: N818  # reads as the sentence it stands for
    """What the client sent is wrong; ``param`` is the field, ``status`` 400 unless another one says it better."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str = "invalid_value", status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


def unsupported(field: str, why: str) -> BadRequest:
    """Return the refusal of a field that the chosen engine has no way to honour."""
    return BadRequest(f"'{field}' is not supported here: {why}", param=field, code="unsupported_parameter")


def fault_of(error: BaseException) -> Fault:
    """Return what a client is told about an error; what nobody expected is a 500 that says nothing of the inside."""
    match error:
        case Refused():
            return Fault(status=error.status, code=error.code, message=error.message, retry_after_s=error.retry_after_s)
        case BadRequest():
            return Fault(status=error.status, code=error.code, message=str(error), param=error.param)
        case InputError() if inside(error):
            return Fault(status=400, code="invalid_value", message=f"the ledger refused it; {SEE_LOG}")
        case InputError():
            return Fault(status=400, code="invalid_value", message=str(error))
        case SetupError():
            message = f"the gateway can't do this now; {SEE_LOG}"
            return Fault(status=503, code="not_ready", message=message, retry_after_s=RETRY_SOON_S)
        case EngineError():
            return _of_engine(error)
        case _:
            return Fault(status=500, code="internal_error", message=f"the gateway failed; {SEE_LOG}")


def inside(error: BaseException) -> str | None:
    """Return what an error says of paths and addresses, for the log alone; nothing that a client sent is in it."""
    said_by_database = isinstance(error.__cause__, SQLAlchemyError | sqlite3.Error)
    return str(error) if isinstance(error, SetupError | EngineUnavailable) or said_by_database else None


def _told(error: EngineError) -> str:
    """Return an engine's sentence without where it stands, and without how reaching it failed, which names that too."""
    return _CAUSE.sub(r"\1", _PLACE.sub("the upstream", str(error)))


def _of_engine(error: EngineError) -> Fault:
    match error:
        case PromptTooLong():
            return Fault(status=400, code="context_length_exceeded", message=_told(error), param="messages")
        case EngineUnavailable():
            wait_s = error.retry_after_s or RETRY_SOON_S
            return Fault(status=503, code="engine_unavailable", message=_told(error), retry_after_s=wait_s)
        case UpstreamError() if error.status in PASSED_ON:
            return _passed_on(error, error.status)
        case UpstreamError() if error.status in {401, 403}:
            message = f"the upstream refused the gateway's own credentials ({error.status}); its operator has to act"
            return Fault(status=502, code="upstream_credentials", message=message)
        case Throttled():
            return Fault(
                status=503,
                code="upstream_busy",
                message=_told(error),
                retry_after_s=error.retry_after_s or RETRY_SOON_S,
            )
        case UpstreamError():
            return Fault(status=502, code="upstream_error", message=_told(error))
        case _:
            return Fault(status=502, code="engine_error", message=_told(error))


def _passed_on(error: UpstreamError, status: int) -> Fault:
    """Return the upstream's own word about the caller's request, with its code and field where it gave them."""
    said = _error_object(error.body)
    code, param = said.get("code"), said.get("param")
    wait_s = error.retry_after_s if isinstance(error, Throttled) else None
    return Fault(
        status=status,
        code=code if isinstance(code, str) and code else "rate_limit_exceeded" if status == 429 else "upstream_refused",
        message=_told(error),
        param=param if isinstance(param, str) and param else None,
        retry_after_s=wait_s if wait_s is not None else RETRY_SOON_S if status == 429 else None,
    )


def _error_object(body: str) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    said = found.get("error") if isinstance(found, dict) else None
    return said if isinstance(said, dict) else {}
