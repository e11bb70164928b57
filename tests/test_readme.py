"""README code runs, and what it says is there is there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_code_stands_by_line_25_and_runs(smollm2):
    lines = README.splitlines()
    assert any(line.startswith("```python") for line in lines[:25])
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert "Paris" in found.stdout


def test_linked_pages_and_make_targets_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).is_file(), link
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
