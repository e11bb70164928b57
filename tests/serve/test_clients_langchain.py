"""LangChain in front of the gateway: the checks stand in ``clients/langchain_checks.py``, and run where LangChain is."""

import re
import subprocess

import client_homes
import pytest

CHECKS = client_homes.SCRIPTS / "langchain_checks.py"


@pytest.mark.timeout(900)  # the first run makes the venv
def test_langchains_chat_models_pass_their_checks():
    command = [str(client_homes.langchain_python()), "-m", "pytest", str(CHECKS), "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, env=client_homes.with_us())
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 24
