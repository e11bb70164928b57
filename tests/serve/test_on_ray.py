"""The door on a local Ray: replicas that are killed lose no acknowledged call, and pieces come as they are made."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import aiohttp
import psutil
import pytest
from gateways import chat_body
from ray_process import COMMAND, needs_ray, on_ray

from cput.ledger.store import Ledger
from cput.records import Finish
from cput.serve.budgets import Per, set_budget
from cput.serve.keys import create
from cput.serve.subjects import Scope, Subject

pytestmark = [needs_ray, pytest.mark.timeout(180)]
ASKERS = 6
MANIFEST = Path(__file__).parents[2] / "docs/design/ray-service.yaml"


class Client:
    """Asks a gateway again and again; a call is acknowledged where its whole answer came."""

    def __init__(self, gateway):
        self._url = gateway.url + "/chat/completions"
        self.acknowledged = []
        self.failed = Counter()

    async def ask(self, session, body):
        try:
            async with session.post(self._url, json=body) as response:
                raw = await response.read()
        except aiohttp.ClientError as error:
            self.failed[type(error).__name__] += 1
            return
        if response.status != 200 or (body.get("stream") and not raw.endswith(b"data: [DONE]\n\n")):
            self.failed[response.status] += 1
            return
        first = raw.split(b"\n\n")[0].removeprefix(b"data: ")
        self.acknowledged.append(json.loads(first)["id"].removeprefix("chatcmpl-"))

    async def ask_until(self, stop):
        async with aiohttp.ClientSession() as session:
            while not stop.is_set():
                await self.ask(session, chat_body(model="m", stream=len(self.acknowledged) % 2 == 0))


async def until(true, within_s=30.0):
    """Wait for what other processes do."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def get(gateway, path):
    async with aiohttp.ClientSession() as session, session.get(gateway.root + path) as response:
        return response.status, await response.text()


async def counted(gateway):
    """How many replicas the page of counters speaks of."""
    page = (await get(gateway, "/metrics"))[1]
    return len(re.findall(r'^cput_requests_in_flight\{replica="\w+"\}', page, re.MULTILINE))


def rows(ledger):
    with Ledger.open(ledger) as book:
        return book.calls()


@pytest.fixture(params=["sqlite", *(pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "haproxy"))])
def front(request, tmp_path):
    """A ledger's address, and options: the calls come through Ray's own proxy, or through its HAProxy."""
    if request.param == "postgresql":
        with request.getfixturevalue("postgresql").schema() as url:
            yield url, []
        return
    yield str(tmp_path / "ledger.db"), ["--haproxy"] if request.param == "haproxy" else []


async def test_a_replica_killed_under_load_loses_no_acknowledged_call(server, tmp_path, front):
    ledger, options = front
    server.token_s = 0.001
    argv = [*COMMAND, server.url, "--on", "ray", "--replicas", "2", "--port", "0", "--ledger", ledger, "--quiet"]
    with on_ray([*argv, *options], tmp_path / "log") as gateway:
        before = gateway.replicas("gateway")
        assert len(before) == 2
        client, stop = Client(gateway), asyncio.Event()
        askers = [asyncio.create_task(client.ask_until(stop)) for _ in range(ASKERS)]
        await until(lambda: len(client.acknowledged) > 60)
        os.kill(before[0], signal.SIGKILL)
        at_kill = len(client.acknowledged)
        await until(lambda: len(client.acknowledged) > at_kill + 60)
        async with asyncio.timeout(60):
            while await counted(gateway) < 2:  # noqa: ASYNC110  # Ray has noticed, and the one in its place serves
                await asyncio.sleep(0.2)
        assert len(set(gateway.replicas("gateway")) - {before[0]}) == 2
        stop.set()
        await asyncio.gather(*askers)
        healthy = Client(gateway)
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                await healthy.ask(session, chat_body(model="m"))
        assert (len(healthy.acknowledged), healthy.failed) == (20, Counter())
        assert (await get(gateway, "/readyz"))[0] == 200

        server.token_s = 0.02  # and now it is asked to go, in the middle of an answer
        async with aiohttp.ClientSession() as session:
            last = asyncio.create_task(healthy.ask(session, chat_body("word " * 100, model="m", stream=True)))
            await until(lambda: server.bodies and server.bodies[-1]["messages"][0]["content"].startswith("word"))
            assert await asyncio.to_thread(gateway.stop) == 0
            await last
    acknowledged = client.acknowledged + healthy.acknowledged
    assert len(healthy.acknowledged) == 21
    assert len(acknowledged) == len(set(acknowledged))
    written = Counter(record.call.id for record in rows(ledger))
    assert max(written.values()) == 1
    assert set(acknowledged) <= set(written)
    for record in rows(ledger):
        assert [attempt.seq for attempt in record.attempts] == list(range(len(record.attempts)))
        if record.call.id in acknowledged:
            assert record.attempts[-1].finish is Finish.STOP
            assert record.attempts[-1].usage.complete
    assert "Traceback" not in (tmp_path / "log").read_text()


def echo_argv(ledger, notes, *, token_s, engines=2, most=2):
    program = Path(__file__).parent / "ray_echo.py"
    return [sys.executable, str(program), str(ledger), str(notes), str(token_s), str(engines), str(most)]


async def streamed(gateway, body, *, hang_up_after=None):
    """Return when each event came, in seconds after the first, and the call's id."""
    at = []
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url + "/chat/completions", json={**body, "stream": True}) as response,
    ):
        assert response.status == 200, await response.read()
        async for line in response.content:
            if line.startswith(b"data: {"):
                at.append(time.perf_counter())
            if len(at) == hang_up_after:
                break
        call_id = response.headers["x-cput-call-id"]
    return [moment - at[0] for moment in at], call_id


@pytest.mark.slow
async def test_engine_replicas_stream_stop_at_a_hang_up_and_are_stood_in_for(tmp_path):
    notes, book = tmp_path / "notes", tmp_path / "ledger.db"
    with on_ray(echo_argv(book, notes, token_s=0.1), tmp_path / "log") as gateway:
        assert len(gateway.replicas("engines")) == 2
        at, _ = await streamed(gateway, chat_body("word " * 20))
        assert len(at) == 22  # the role, twenty words, the reason
        assert at[-1] > 1.5  # 20 words at 0.1 s: not one burst at the end
        assert at[11] < 0.8 * at[-1]

        _, hung_up = await streamed(gateway, chat_body("word " * 200), hang_up_after=5)
        await until(lambda: f"closed {hung_up}" in notes.read_text(), within_s=5)
        assert notes.read_text().count(f"word {hung_up}") < 50

        # Killed before its first piece, an answer comes from another replica: one call, two attempts.
        client = Client(gateway)
        async with aiohttp.ClientSession() as session:
            asked = notes.read_text().count("asked")
            calls = [asyncio.create_task(client.ask(session, chat_body("think a b c"))) for _ in range(8)]
            await until(lambda: notes.read_text().count("asked") == asked + 8)
            os.kill(int(notes.read_text().splitlines()[-1].split()[0]), signal.SIGKILL)
            await asyncio.gather(*calls)
            assert (len(client.acknowledged), client.failed) == (8, Counter())
            again = Client(gateway)
            await asyncio.gather(*(again.ask(session, chat_body("d e f")) for _ in range(8)))
        assert (len(again.acknowledged), again.failed) == (8, Counter())
        assert await asyncio.to_thread(gateway.stop) == 0
    found = {record.call.id: record for record in rows(book)}
    (cut,) = found[hung_up].attempts
    assert (cut.finish, cut.usage.complete, cut.usage.input) == (Finish.CANCELLED, False, 200)
    assert 4 <= cut.usage.output < 50
    assert set(client.acknowledged + again.acknowledged) <= set(found)
    stood_in_for = [found[call].attempts for call in client.acknowledged if len(found[call].attempts) > 1]
    assert stood_in_for
    for first, *_, last in stood_in_for:
        assert (first.finish, last.finish) == (Finish.ERROR, Finish.STOP)
        assert "engine replica" in first.error
    whole = found[again.acknowledged[0]].attempts[-1]
    assert (whole.engine, whole.finish, whole.usage.output, whole.usage.engine_s) == (
        "echo",
        Finish.STOP,
        3,
        pytest.approx(0.3),
    )


@pytest.mark.slow
async def test_engine_replicas_come_with_the_tokens_there_are_to_do(tmp_path):
    """Three calls are no load for a batch of 16; what they may still generate is."""
    quick = {
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
        "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    }
    argv = echo_argv(tmp_path / "ledger.db", tmp_path / "notes", token_s=0.2, engines=1, most=3)
    with on_ray(argv, tmp_path / "log", quick) as gateway:
        assert len(gateway.replicas("engines")) == 1
        calls = [asyncio.create_task(streamed(gateway, chat_body("word " * 400))) for _ in range(3)]
        await until(lambda: len(gateway.replicas("engines")) == 3, within_s=80)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert await asyncio.to_thread(gateway.stop) == 0


@pytest.mark.slow
async def test_a_model_is_served_by_engine_replicas(tmp_path, smollm2):
    book, policy = tmp_path / "ledger.db", tmp_path / "policy.toml"
    policy.write_text('[serve]\nmodel = "smollm2-135m-instruct"\nconcurrency = 8\n')
    argv = [*COMMAND, str(policy), "--on", "ray", "--engine-replicas", "2", "--port", "0", "--ledger", str(book)]
    with on_ray(argv, tmp_path / "log") as gateway:
        assert len(gateway.replicas("engines")) == 2
        client = Client(gateway)
        body = {**chat_body("Name three fruits.", model=smollm2.name), "max_tokens": 12}
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(client.ask(session, body) for _ in range(6)))
        assert (len(client.acknowledged), client.failed) == (6, Counter())
        policy.write_text('[serve]\nmodel = "smollm2-135m-instruct"\nconcurrency = 4\n')
        log = tmp_path / "log"
        await until(lambda: log.read_text().count("policy replaced") == 2, within_s=60)
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(client.ask(session, body) for _ in range(6)))
        assert (len(client.acknowledged), client.failed) == (12, Counter())
        assert await asyncio.to_thread(gateway.stop) == 0
    for record in rows(book):
        (attempt,) = record.attempts
        assert attempt.engine.startswith("openvino:smollm2-135m-instruct")
        assert 0 < attempt.usage.output <= 12
        assert attempt.usage.complete
        assert attempt.usage.engine_s > 0
        assert record.call.policy == "policy"


@pytest.mark.slow
async def test_a_budget_for_one_call_admits_one_whichever_replica_is_asked(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as book:
        key = create(book, "app", tenant="shop").secret
        set_budget(book, Subject(Scope.TENANT, "shop"), Decimal("0.0015"), per=Per.MONTH)  # a call costs 0.001
    argv = [*echo_argv(tmp_path / "ledger.db", tmp_path / "notes", token_s=0.1), "keys"]
    with on_ray(argv, tmp_path / "log") as gateway:
        client = Client(gateway)
        async with aiohttp.ClientSession() as session:
            await client.ask(session, chat_body())
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            await asyncio.gather(*(client.ask(session, chat_body()) for _ in range(8)))
        assert (len(client.acknowledged), client.failed) == (1, Counter({429: 7, 401: 1}))


@pytest.mark.slow
def test_the_example_for_kubernetes_is_what_ray_serve_and_we_understand(tmp_path):
    program = f"""
import sys, yaml
from pathlib import Path
from ray.serve.schema import ServeDeploySchema
from cput.ledger.store import Ledger
from cput.serve.keys import create
manifest = yaml.safe_load(Path({str(MANIFEST)!r}).read_text())
assert manifest["kind"] == "RayService"
config = ServeDeploySchema.model_validate(yaml.safe_load(manifest["spec"]["serveConfigV2"]))
(app,) = config.applications
from cput.cli.on_ray import application
with Ledger.open({str(tmp_path / "l.db")!r}) as book:
    create(book, "app", tenant="shop")
print(app.import_path, type(application(app.args | {{"ledger": {str(tmp_path / "l.db")!r}}})).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["cput.cli.on_ray:application", "Application"], done.stderr


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
node = {"num_cpus": 2, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
print(cluster.address, flush=True)
for _ in sys.stdin:
    cluster.add_node(**node)
    print("another", flush=True)
cluster.shutdown()
"""


@contextlib.contextmanager
def a_cluster(environment):
    """A Ray cluster of one node that somebody else started; it adds one for each line that it is told."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    cluster = subprocess.Popen([sys.executable, "-c", CLUSTER], env={**os.environ, **environment}, **pipes)
    try:
        yield cluster, cluster.stdout.readline().strip()
    finally:
        children = psutil.Process(cluster.pid).children(recursive=True)
        cluster.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            cluster.wait(60)
        cluster.kill()
        cluster.wait(10)
        cluster.stdout.close()
        for child in psutil.wait_procs(children, timeout=10)[1]:
            child.kill()


@pytest.mark.slow
async def test_a_cluster_that_runs_is_joined_and_left_and_a_file_refused_where_it_has_several_nodes(server, tmp_path):
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    with a_cluster(environment) as (cluster, address):
        argv = [*COMMAND, server.url, "--on", "ray", "--ray-address", address, "--port", "0", "--quiet"]
        argv += ["--ledger", str(tmp_path / "ledger.db")]
        with on_ray(argv, tmp_path / "log", environment) as gateway:
            client = Client(gateway)
            async with aiohttp.ClientSession() as session:
                await client.ask(session, chat_body(model="m"))
            assert (len(client.acknowledged), client.failed) == (1, Counter())
            gateway.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.process.wait, 60) == 0
        assert cluster.poll() is None
        cluster.stdin.write("another\n")
        cluster.stdin.flush()
        assert cluster.stdout.readline() == "another\n"
        again = {"capture_output": True, "text": True, "check": False, "timeout": 90}
        done = await asyncio.to_thread(subprocess.run, argv, env={**os.environ, **environment}, **again)
        assert "has 2 nodes: a file is shared by the processes of one machine only" in done.stderr
