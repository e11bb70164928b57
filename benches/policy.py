"""Every bench of the policy, one after the other: router, student, cache, drift, certificate, cascade.

    make bench-policy                       # all, hours on 2 cores at their full size
    .venv/bin/python benches/policy.py --quick
    .venv/bin/python benches/policy.py --only router,cache

Each prints its own card; the last line is one JSON object that holds theirs by name. One that fails is named there, and
the exit status is 1. `CPUT_ROUTER_DATA` names the folder of what may not ship (RouterBench).
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cput.measure.environment import environment

HERE = Path(__file__).parent
BENCHES = {
    "router": ["policy_router.py"],
    "student": ["policy_student.py"],
    "cache": ["policy_cache.py"],
    "drift": ["policy_drift.py"],
    "certificate": ["policy_certificate.py"],
    "cascade": ["cascade.py"],
}
QUICK = {"cache": ["--seeds", "2"]}
"""What makes a bench small, where that is not ``--quick``."""


def main() -> int:
    """Run them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of each")
    parser.add_argument("--only", default=",".join(BENCHES), help="comma-separated: " + ", ".join(BENCHES))
    asked = parser.parse_args()
    names = asked.only.split(",")
    if strange := [name for name in names if name not in BENCHES]:
        parser.error(f"there is no bench '{strange[0]}'; allowed: {', '.join(BENCHES)}")
    began = time.perf_counter()
    found = {name: run(name, quick=asked.quick) for name in names}
    failed = [name for name, said in found.items() if "failed" in said]
    print(f"{len(found) - len(failed)} of {len(found)} benches ran; failed: {', '.join(failed) or 'none'}")
    print(json.dumps({"benches": found, "seconds": time.perf_counter() - began, **environment()}))
    return 1 if failed else 0


def run(name: str, *, quick: bool) -> dict[str, Any]:
    """Run one bench with its output shown; return its last line, or why there is none."""
    print(f"== {name}", flush=True)
    more = QUICK.get(name, ["--quick"]) if quick else []
    command = [sys.executable, str(HERE / BENCHES[name][0]), *BENCHES[name][1:], *more]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                last = line
            else:
                print(line, end="", flush=True)
    try:
        said: dict[str, Any] = json.loads(last)
    except json.JSONDecodeError:
        return {"failed": f"it printed no JSON object and ended with status {process.returncode}"}
    return said if process.returncode == 0 else said | {"failed": f"it ended with status {process.returncode}"}


if __name__ == "__main__":
    sys.exit(main())
