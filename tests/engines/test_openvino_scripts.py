"""The engine process as scripts see it: it ends with its caller, and it outlives an event loop."""

import subprocess
import sys
import time
from pathlib import Path

OPEN = (
    "import asyncio, sys\n"
    "from cput.engines.openvino import open_engine\n"
    "from cput.records import Call, Sampling\n"
    "engine = open_engine(sys.argv[1], grammar=False, max_seqs=2)\n"
    "call = Call(prompt='The capital of France is', sampling=Sampling(max_new_tokens=2))\n"
)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_engine_process_ends_when_its_caller_is_killed(int8):
    script = OPEN + (
        "async def main():\n"
        "    await engine.start()\n"
        "    print(engine.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, int8], stdout=subprocess.PIPE) as caller:
        pid = int(caller.stdout.readline())
        assert alive(pid)
        caller.kill()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def test_one_engine_may_be_used_in_two_event_loops_after_another(int8):
    script = OPEN + (
        "async def main(last):\n"
        "    print(await engine.answer(call).text(), flush=True)\n"
        "    if last:\n"
        "        await engine.aclose()\n"
        "asyncio.run(main(False))\n"
        "asyncio.run(main(True))\n"
        "print(engine.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, int8], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == " Paris.\n Paris.\nNone\n"
    assert "Traceback" not in done.stderr
