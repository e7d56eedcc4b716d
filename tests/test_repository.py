"""CI, hooks, metadata and the image: they have their schemas, agree with one another, and run what exists."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.containers import instructions, is_ignored
from support.repository import ROOT, code, is_flask_command, load, make_targets, tracked

from app import __version__

BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "github-issue-forms": [ROOT / ".github/ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")],
    "github-issue-config": [ROOT / ".github/ISSUE_TEMPLATE/config.yml"],
    "dependabot": [ROOT / ".github/dependabot.yml"],
    "compose-spec": [ROOT / "compose.yaml"],
}


# Workflows, templates, hooks


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_for_other_services_have_their_schema(schema):
    command = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *SCHEMAS[schema]]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_targets_of_make_with_actions_pinned_and_few_permissions(path):
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert re.search(r"@[0-9a-f]{40}$", step.get("uses", "@" + "0" * 40)), step
            assert step.get("with", {}).get("persist-credentials", False) is False
        matrix = job.get("strategy", {}).get("matrix", {})
        commands = "\n".join(step.get("run", "") for step in job["steps"]).replace(
            '"$SUITE"', " ".join(matrix.get("suite", []))
        )
        called = [word for run in re.findall(r"\bmake ([a-z -]+)", commands) for word in run.split()]
        assert set(called) <= make_targets(), called
        assert called or "docker compose" in commands


def test_a_folder_with_the_name_of_a_target_keeps_make_from_nothing():
    assert (
        set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()) == make_targets()
    )


def test_ci_runs_every_supported_python_on_both_databases():
    matrix = load(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix == {"python": PYTHONS, "suite": ["test", "test-postgresql"]}


def test_the_metadata_names_the_same_pythons_and_the_version_of_the_application_and_of_the_changelog():
    minors = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert minors == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert PROJECT["version"] == __version__
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert {"description", "readme", "license", "authors", "keywords", "urls"} <= set(PROJECT)


def test_each_release_in_the_changelog_begins_with_what_an_owner_must_do():
    releases = (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## ")[1:]
    assert releases
    for release in releases:
        version = release.split()[0].strip(",")
        headings = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert headings[0] == "What you must do", version
        assert set(headings[1:]) <= {"Migrations", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, (
            version
        )


def test_a_supported_version_is_the_current_one():
    supported = re.findall(r"^\| (\d+\.\d+)\.x \| yes", (ROOT / "SECURITY.md").read_text("utf-8"), re.MULTILINE)
    assert PROJECT["version"].rpartition(".")[0] in supported


def test_the_hooks_run_commands_of_make_check():
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    recipe = recipe.replace("$(SCHEMA)", "$(BIN)/check-jsonschema --builtin-schema vendor").replace(
        "$(BIN)", ".venv/bin"
    )
    for hook in load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]:
        assert re.search(rf"^\t{re.escape(hook['entry'])}( |$)", recipe, re.MULTILINE), hook["entry"]


def test_text_files_are_written_as_the_editor_is_told():
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content and content:
            assert content.endswith(b"\n"), path
            trailing = rb"[^\n][ \t]\n|\r" if path.suffix == ".md" else rb"[ \t]\n|\r"
            assert not re.search(trailing, content), path


# The image


def test_the_dockerfile_has_two_stages_one_python_and_an_unprivileged_user():
    steps = instructions((ROOT / "Dockerfile").read_text())
    last = steps[max(number for number, (name, _) in enumerate(steps) if name == "FROM") :]
    assert dict(steps)["ARG"].removeprefix("PYTHON=") in PYTHONS
    assert [rest.split(":")[0] for name, rest in steps if name == "FROM"] == ["python", "python"]
    assert int(dict(last)["USER"].partition(":")[0]) > 1000
    assert json.loads(dict(last)["CMD"])[0] == "gunicorn"
    assert "/healthz" in dict(last)["HEALTHCHECK"]
    assert "--require-hashes" in str(steps)


def test_the_image_gets_the_code_that_runs_and_nothing_else():
    patterns = (ROOT / ".dockerignore").read_text()
    names = [path.relative_to(ROOT) for path in tracked()]
    code = {name.parts[0] for name in names if name.suffix == ".py"} - {"bench", "tests", "tools"}
    assert {name.parts[0] for name in names if not is_ignored(str(name), patterns)} == code | {
        "requirements.txt",
        "translations",
    }
    steps = instructions((ROOT / "Dockerfile").read_text())
    copied = [rest.split()[:-1] for name, rest in steps if name == "COPY" and not rest.startswith("--from")]
    assert {name for names in copied for name in names} == code | {"requirements.txt", "translations"}


@pytest.mark.parametrize("name", [".env", "app/.env.local", "instance/app.db", "app/x.db", ".git/config"])
def test_the_image_gets_no_secrets(name):
    assert is_ignored(name, (ROOT / ".dockerignore").read_text())


def test_services_of_the_application_are_confined():
    services = load(ROOT / "compose.yaml")["services"]
    ours = [service for service in services.values() if service["image"] == "flasky"]
    assert len(ours) == 3
    for service in ours:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published), published


def test_the_services_run_commands_that_exist():
    services = load(ROOT / "compose.yaml")["services"]
    commands = [
        service["command"] for service in services.values() if service["image"] == "flasky" and "command" in service
    ]
    assert len(commands) == 2
    assert all(is_flask_command(command) for command in commands)


def test_docs_and_ci_write_the_same_secrets():
    [command] = [line for line in code(ROOT / "docs/containers.md") if line.startswith("printf")]
    steps = load(ROOT / ".github/workflows/ci.yml")["jobs"]["image"]["steps"]
    assert command in [step.get("run", "").strip() for step in steps]
