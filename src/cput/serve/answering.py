"""The endpoint of a dialect: reads a request, asks the engine behind the model, says the answer.

Streamed or whole, hung up or not, every call goes through here once: in by the gate, through the stack of wrappers,
and out piece by piece. A piece of the engine is one event and goes out when it comes. What the client has been told is
on record: the meter writes an attempt down before it lets the end of the answer through.
"""

from typing import Any

from starlette.types import Receive, Scope, Send

from cput.errors import EngineError
from cput.policy.cache.wish import TAG
from cput.protocols import Answer
from cput.records import Call, Ending, Finish, changed
from cput.serve.body import ClientGone, object_of, read_body
from cput.serve.dialects.base import Asking, Dialect, refuse_other_kind
from cput.serve.door import Door, Model
from cput.serve.exchange import HUNG_UP, Exchange, exchange_of, send_bytes
from cput.serve.fault import Fault, fault_of, inside
from cput.serve.gate import Admission, Asked
from cput.serve.hangup import HangUp
from cput.serve.head import Head, head_of, scoped
from cput.serve.serving import Stack
from cput.serve.tally import Legs

STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would gather the events otherwise
)


class Answering:
    """An ASGI endpoint that serves one dialect."""

    def __init__(self, door: Door, dialect: Dialect) -> None:
        self._door = door
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # the exchange has it
        """Serve one request."""
        exchange = exchange_of(scope)
        exchange.endpoint = self._dialect.name
        try:
            head, model, asking = await self._read(scope, receive, exchange)
            await self._serve(exchange, receive, head, model, asking)
        except ClientGone:
            raise
        except Exception as error:
            if exchange.started:
                raise
            await self._refuse(exchange, error)

    async def _read(self, scope: Scope, receive: Receive, exchange: Exchange) -> tuple[Head, Model, Asking]:
        door = self._door
        head = head_of(scope, exchange.request_id)
        await door.gate.identify(head.key)  # strangers learn nothing, not even that their body is wrong
        raw = await read_body(scope, receive, max_bytes=door.limits.body_bytes, within_s=door.limits.body_s)
        body = object_of(raw, max_depth=door.limits.depth)
        name = self._dialect.model_of(body)
        model = door.model(name)
        refuse_other_kind(self._dialect, name, model.takes)
        return head, model, _wished(self._dialect.read(body, head, model.takes, door.defaults), head)

    async def _serve(self, exchange: Exchange, receive: Receive, head: Head, model: Model, asking: Asking) -> None:
        last = b""
        exchange.facts |= {"call_id": asking.call.id, "model": asking.model, "stream": asking.stream}
        async with HangUp(receive) as client:
            with model.serving.taken() as stack:
                async with self._door.gate.admit(_asked(head, asking, stack)) as admission:
                    last = await self._answer(exchange, asking, stack, admission)
        if client.gone:
            exchange.status = HUNG_UP
        elif exchange.started:
            await exchange.send({"type": "http.response.body", "body": last})
        else:
            await send_bytes(exchange, 200, last, headers={"x-cput-call-id": asking.call.id})

    async def _answer(self, exchange: Exchange, asking: Asking, stack: Stack, admission: Admission) -> bytes:
        """Let the engine answer; return what is still to be sent: the end of a stream, or the whole."""
        asked, tenant = asking.call, admission.tenant
        key, episode = scoped(tenant, asked.external_key), scoped(tenant, asked.episode)
        call = asked
        if tenant is not None or stack.policy is not None:
            call = changed(asked, tenant=tenant, policy=stack.policy, external_key=key, episode=episode)
        exchange.facts |= {"tenant": tenant, "key_id": admission.key_id}
        with self._door.tally.following(call.id) as legs:
            try:
                if admission.due_at is None:
                    return await self._said(exchange, asking, stack, call)
                async with admission.in_time():
                    return await self._said(exchange, asking, stack, call)
            except Exception as error:
                if not exchange.started:
                    raise
                return asking.voice.broken(noted(exchange, error))
            finally:
                admission.settle(legs.usage, legs.nano_usd)
                exchange.facts |= _used(legs)

    async def _said(self, exchange: Exchange, asking: Asking, stack: Stack, call: Call) -> bytes:
        async with stack.engine_for(asking.model).answer(call) as answer:
            if asking.stream:
                return await self._stream(exchange, asking, answer)
            pieces = [piece async for piece in answer]
            return asking.voice.whole(pieces, _ended(answer))

    async def _stream(self, exchange: Exchange, asking: Asking, answer: Answer) -> bytes:
        async for piece in answer:
            if not exchange.started:
                await self._begin(exchange, asking)
            await exchange.send({"type": "http.response.body", "body": asking.voice.piece(piece), "more_body": True})
        end = asking.voice.end(_ended(answer))
        if not exchange.started:
            await self._begin(exchange, asking)
        return end

    async def _begin(self, exchange: Exchange, asking: Asking) -> None:
        """Send the head, once the first piece is there: until then an error is still a status."""
        headers = [*STREAM_HEADERS, (b"x-cput-call-id", asking.call.id.encode())]
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _refuse(self, exchange: Exchange, error: Exception) -> None:
        fault = noted(exchange, error)
        headers = fault.headers | exchange.call_headers
        await send_bytes(exchange, fault.status, self._dialect.fault(fault), headers=headers)


def noted(exchange: Exchange, error: BaseException) -> Fault:
    """Return what the client is told about an error, and keep it for the log; an unexpected one goes there whole."""
    fault = fault_of(error)
    exchange.facts |= {"code": fault.code, "why": inside(error)}
    if fault.code == "internal_error":
        exchange.facts["failure"] = error
    return fault


def _asked(head: Head, asking: Asking, stack: Stack) -> Asked:
    return Asked(
        key=head.key,
        model=asking.model,
        prompt_tokens=stack.count_prompt(asking.call),
        prompt_bound=stack.bound_prompt(asking.call),
        max_new_tokens=asking.call.sampling.max_new_tokens * asking.choices,
        priority=head.priority,
        deadline_s=head.deadline_s,
    )


def _wished(asking: Asking, head: Head) -> Asking:
    """Return what is asked with what its headers say about the cache, as a tag of the call; it wins over metadata's."""
    if head.cache is None:
        return asking
    return changed(asking, call=changed(asking.call, tags={**asking.call.tags, TAG: head.cache}))


def _ended(answer: Answer) -> Ending:
    """Return how the answer closed; one that an engine itself calls an error is one."""
    if answer.ending.finish is Finish.ERROR:
        raise EngineError("the engine ended its answer with an error")
    return answer.ending


def _used(legs: Legs) -> dict[str, Any]:
    usage, last = legs.usage, legs.attempts[-1] if legs.attempts else None
    return {
        "attempts": len(legs.attempts),
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "nano_usd": legs.nano_usd,
        "ttft_s": None if last is None or last.ttft_s is None else round(last.ttft_s, 6),
        "finish": None if last is None else last.finish.value,
    }
