"""litellm as a client, run in a venv of its own: asks two gateways, prints what came back as JSON.

litellm_client.py ECHO_ROOT REMOTE_ROOT
"""

import asyncio
import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no download while it is imported

import litellm  # the setting comes first

litellm.telemetry = False
litellm.suppress_debug_info = True
ECHO, REMOTE = sys.argv[1:]
TURNS = [{"role": "user", "content": "one two three"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}]
WHERE = {  # what a user of litellm sets for each of its providers
    "openai": lambda root: {"api_base": f"{root}/v1"},
    "anthropic": lambda root: {"api_base": root},
}


def asked(provider, root, model="echo", **more):
    named = {"model": f"{provider}/{model}", "messages": TURNS, "api_key": "none", "max_tokens": 200}
    return {**named, "num_retries": 0, **WHERE[provider](root), **more}


def told(answer):
    message = answer.choices[0].message
    called = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
    usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    return {
        "id": answer.id,
        "text": message.content,
        "reason": answer.choices[0].finish_reason,
        "usage": usage,
        "calls": called,
    }


def streamed(chunks):
    chunks = list(chunks)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    return {"texts": texts, "whole": told(litellm.stream_chunk_builder(chunks, messages=TURNS))}


def error(provider, root, **more):
    try:
        litellm.completion(**asked(provider, root, **more))
    except Exception as found:  # noqa: BLE001  # its class is what is asked about
        return {"class": type(found).__name__, "status": found.status_code, "message": str(found)}
    return None


async def at_once(provider):
    asking = [
        litellm.acompletion(**asked(provider, ECHO, messages=[{"role": "user", "content": f"call {at}"}]))
        for at in range(4)
    ]
    texts = [answer.choices[0].message.content for answer in await asyncio.gather(*asking)]
    chunks = await litellm.acompletion(**asked(provider, ECHO), stream=True)
    return {"texts": texts, "streamed": [chunk.choices[0].delta.content async for chunk in chunks if chunk.choices]}


def everything(provider):
    usage = {"stream_options": {"include_usage": True}} if provider == "openai" else {}
    return {
        "whole": told(litellm.completion(**asked(provider, ECHO))),
        "stream": streamed(litellm.completion(**asked(provider, ECHO), stream=True, **usage)),
        "at once": asyncio.run(at_once(provider)),
        "tools": told(litellm.completion(**asked(provider, REMOTE, "m", tools=TOOLS))),
        "streamed tools": streamed(litellm.completion(**asked(provider, REMOTE, "m", tools=TOOLS), stream=True)),
        "limited": error(provider, REMOTE, model="m"),
        "missing": error(provider, ECHO, model="none"),
        "wrong": error(provider, ECHO, tools=TOOLS),
    }


found = {provider: everything(provider) for provider in WHERE}
text = litellm.text_completion(
    model="text-completion-openai/echo", prompt="a b", api_base=f"{ECHO}/v1", api_key="none", max_tokens=9
)
found["text completion"] = text.choices[0].text
found["responses"] = litellm.responses(
    model="openai/echo", input="one two", api_base=f"{ECHO}/v1", api_key="none"
).output_text
print(json.dumps(found))
