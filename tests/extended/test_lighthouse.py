"""Lighthouse's audits of the public pages: accessibility, best practices and search engines."""

import json
import subprocess
from pathlib import Path

import pytest
from support.clients import on_sqlite

pytestmark = [pytest.mark.extended, on_sqlite, pytest.mark.xdist_group("lighthouse")]

LIGHTHOUSE = Path(__file__).parent / "node_modules/lighthouse/cli/index.js"
LEAST = {"accessibility": 1, "best-practices": 1, "seo": 0.95}


@pytest.mark.parametrize("path", ["/", "/auth/register"])
def test_public_pages_pass_lighthouse(live, launch, tmp_path, path):
    command = ["node", LIGHTHOUSE, f"{live}{path}", f"--only-categories={','.join(LEAST)}", "--quiet", "--output=json"]
    command += [f"--output-path={tmp_path}/report.json", "--chrome-flags=--headless --no-sandbox"]
    browser = {"CHROME_PATH": launch["executable_path"]} if launch else {}
    subprocess.run(command, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)} | browser, check=True, timeout=300)
    report = json.loads((tmp_path / "report.json").read_text())
    scores = {name: report["categories"][name]["score"] for name in LEAST}
    failed = [
        audit["title"] for audit in report["audits"].values() if audit["score"] is not None and audit["score"] < 1
    ]
    assert all(scores[name] >= least for name, least in LEAST.items()), (scores, failed)
