"""Reports in a real browser: no console message, nothing wider than the page, sorting works."""

import os
import re
import shutil
import subprocess

import pytest
from made_reports import measurement, optimization

from cput.report import comparison_html, html, write

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--enable-logging=stderr", "--v=0",
)  # fmt: skip
PROBE = """<script>
const wide = document.documentElement.scrollWidth - innerWidth;
const calls = document.querySelector("table.sortable.calls");
const column = [...calls.tHead.rows[0].cells].findIndex((cell) => /output tokens/.test(cell.textContent));
const read = () => [...calls.tBodies[0].rows].map((row) => Number(row.cells[column].textContent.replace(/,/g, "")));
const rises = (list) => list.every((value, index) => !index || list[index - 1] <= value);
const before = read(), button = calls.tHead.rows[0].cells[column].querySelector("button");
button.click(); const up = read(); button.click(); const down = read();
document.body.dataset.probe = JSON.stringify([wide, before.length, rises(before), rises(up), rises(down.reverse())]);
</script></body>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed; it draws the reports for this test")


def browse(page: str, folder, width: int) -> tuple[str, str]:
    """Return the page as the browser holds it and what it logged; the probe needs the policy lifted."""
    path = write(page, folder / "report.html")
    run = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1200", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
    )  # fmt: skip
    return run.stdout, run.stderr


@pytest.mark.parametrize(
    "page", [html(measurement(60)), comparison_html(optimization(calls=40))], ids=["measure", "optimize"]
)
def test_a_report_opens_without_a_console_message(page, tmp_path):
    dom, log = browse(page, tmp_path, 1440)
    assert "CONSOLE" not in log
    assert '<th scope="col"><button' in dom  # our script ran under the policy that names its digest


def test_a_script_that_is_not_ours_is_refused(tmp_path):
    page = html(measurement(3)).replace("</body>", "<script>document.body.dataset.probe = 'ran'</script></body>")
    dom, log = browse(page, tmp_path, 1440)
    assert "data-probe" not in dom
    assert "Content Security Policy" in log


@pytest.mark.parametrize("width", [500, 1440])
def test_no_page_scrolls_sideways_and_a_header_sorts(tmp_path, width):
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html(measurement(60))).replace(
        "</body>", PROBE
    )
    dom, log = browse(page, tmp_path, width)
    assert "CONSOLE" not in log
    found = re.search(r'data-probe="\[(-?\d+),60,(\w+),(\w+),(\w+)\]"', dom)
    assert found is not None
    assert int(found[1]) <= 0
    assert found.groups()[1:] == ("false", "true", "true")
