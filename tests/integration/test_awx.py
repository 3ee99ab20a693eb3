# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as AWX runs them, by ansible-runner, and what awx/ makes of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml

import awx
import lab
import playbook

FOLDER = lab.ROOT / "awx"
SURVEYS = sorted(FOLDER.glob("survey_*.json"))
BUNDLE = lab.ROOT / ".cache" / "awx"
WHEELS = lab.ROOT / ".cache" / "ee"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as AWX installs it for a project: by collections/requirements.yml, at its root."""
    directory = tmp_path_factory.mktemp("collections")
    words = [str(BIN / "ansible-galaxy"), "collection", "install", "-r", "collections/requirements.yml"]
    environ = {name: value for name, value in os.environ.items() if name != "ANSIBLE_COLLECTIONS_PATH"}
    environ["HOME"] = str(directory)
    command = [*words, "--offline", "-p", str(directory)]
    done = subprocess.run(command, cwd=lab.ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ansible-builder would build the execution environment from."""
    directory = tmp_path_factory.mktemp("context")
    words = [str(BIN / "ansible-builder"), "create", "-f", str(FOLDER / "execution-environment.yml")]
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run([*words, "-c", str(directory)], env=environ, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def environment(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtualenv with what the context installs by pip and nothing else."""
    if not list(WHEELS.glob("bindep-*")):
        lab.missing("the packages of the execution environment are not there: make .cache/ee")
    text = next(path.read_text() for path in context.iterdir() if path.is_file())
    wanted = re.search(r'ARG ANSIBLE_INSTALL_REFS="([^"]*)"', text)
    assert wanted and not list(context.glob("_build/requirements*.txt")), text
    directory = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin/python"), "install", "-q"]
    refs = [*shlex.split(wanted.group(1)), "bindep"]
    subprocess.run([*pip, "--no-index", "--no-compile", "--find-links", str(WHEELS), *refs], check=True)
    return directory / "bin"


@pytest.fixture
def fleet(isolated: None) -> List[lab.Host]:
    return [lab.new_host(), lab.new_host()]


def _job(directory: Path, collections: Path, hosts: List[lab.Host], book: str, **given: Any) -> Dict[str, Any]:
    """What ansible-runner is given for a job: AWX's own words for it."""
    project = directory / "project"
    project.mkdir(parents=True, exist_ok=True)
    (project / book).write_text((lab.ROOT / "playbooks" / book).read_text())
    connection = {"ansible_connection": "hostnet.docker.netns"}
    inventory = {"all": {"hosts": {host.name: playbook._variables(host, connection) for host in hosts}}}
    environ = {
        **playbook.ENVIRONMENT,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(directory),
    }
    return {
        "private_data_dir": str(directory),
        "playbook": book,
        "inventory": inventory,
        "envvars": environ,
        "quiet": True,
        **given,
    }


def _run(**job: Any) -> Any:
    """Run a job; ansible-runner is there for ``make slow`` alone."""
    try:
        import ansible_runner
    except ImportError:
        lab.missing("ansible-runner is not installed")
    return ansible_runner.interface.run(**job)


def _ran(result: Any) -> List[str]:
    """The hosts that a task ran on."""
    events = [event for event in result.events if event["event"].startswith("runner_on_")]
    return sorted({event["event_data"]["host"] for event in events})


def _artifact(events: Any) -> Dict[str, Any]:
    """The set_stats of a job, as its last event has them."""
    stats = [event["event_data"] for event in events if event["event"] == "playbook_on_stats"]
    return stats[-1]["artifact_data"]


@pytest.mark.slow()
def test_drift_job(fleet: List[lab.Host], collections: Path, tmp_path: Path) -> None:
    """A check job over all hosts: it fails, says on which, and nothing was written."""
    first, second = fleet
    made = _run(**_job(tmp_path / "a", collections, fleet, "converge.yml", limit=first.name))
    assert made.rc == 0 and _ran(made) == [first.name], made.stdout.read()
    before = lab.snapshot(second)
    job = _run(**_job(tmp_path / "b", collections, fleet, "drift.yml", cmdline="--check"))
    assert job.status == "failed"
    assert not lab.difference(before, lab.snapshot(second))
    drift = _artifact(job.events)["hostnet_drift"]
    assert (drift["drifted"], drift["clean"], drift["unknown"]) == ([second.name], [first.name], [])
    assert 0 < len(drift["changes"][second.name]) <= 21
    assert drift["counts"]["missing"] > 0 and drift["counts"]["foreign"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", drift["checked_at"])
    assert len(list(job.events)) < 100, "AWX's page shows 4000 events"


@pytest.mark.slow()
def test_long_drift_is_cut(fleet: List[lab.Host], collections: Path, tmp_path: Path) -> None:
    host = fleet[0]
    endpoints = [{"name": f"e{number}"} for number in range(12)]
    variables = {"docker_host_endpoints": endpoints}
    job = _run(**_job(tmp_path, collections, [host], "drift.yml", extravars=variables))
    drift = _artifact(job.events)["hostnet_drift"]
    lines = drift["changes"][host.name]
    left = re.fullmatch(r"and (\d+) more", lines[20])
    assert len(lines) == 21 and left, lines
    assert sum(drift["counts"].values()) == 20 + int(left.group(1))


@pytest.mark.slow()
def test_slices(fleet: List[lab.Host], collections: Path, tmp_path: Path) -> None:
    """A sliced job is one job for each part of the inventory: each has its own verdict, and together they are all."""
    found = []
    for number, host in enumerate(fleet):
        job = _run(**_job(tmp_path / str(number), collections, [host], "drift.yml"))
        found += _artifact(job.events)["hostnet_drift"]["drifted"]
    assert found == [host.name for host in fleet]


def _converged(host: lab.Host, collections: Path, directory: Path) -> None:
    """A host with docker0 and an endpoint ``web``."""
    variables = {"docker_host_endpoints": [{"name": "web"}]}
    assert _run(**_job(directory, collections, [host], "converge.yml", extravars=variables)).rc == 0


@pytest.mark.slow()
def test_survey_of_publish(fleet: List[lab.Host], collections: Path, tmp_path: Path) -> None:
    """The answers come as extra variables; the port then answers whom it should."""
    host = fleet[0]
    _converged(host, collections, tmp_path / "before")
    answers = {question["variable"]: question["default"] for question in _survey("publish")}
    answers.update(publish_endpoint="web", publish_host_ip="0.0.0.0", publish_allowed_sources="192.0.2.0/24")
    job = _job(tmp_path / "job", collections, fleet, "publish.yml", extravars=answers, limit=host.name)
    done = _run(**job)
    assert done.rc == 0, done.stdout.read()
    assert list(_artifact(done.events)["hostnet_published"]) == [host.name]
    with lab.serve(host.inner("web"), 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    again = _run(**{**job, "ident": "again"})
    assert again.stats["changed"] == {}
    taken = _run(**{**job, "ident": "taken", "extravars": {**answers, "publish_state": "absent"}})
    assert taken.rc == 0 and "8080" not in host.save()


@pytest.mark.slow()
def test_survey_of_report(fleet: List[lab.Host], collections: Path, environment: Path, tmp_path: Path) -> None:
    """A check job with the execution environment's Python writes the page where the survey says, and nothing else."""
    lab.need("dot")
    host = fleet[0]
    _converged(host, collections, tmp_path / "before")
    before = host.rules()
    page = tmp_path / "reports" / "hostnet.html"
    page.parent.mkdir()
    answers = {question["variable"]: question["default"] for question in _survey("report")}
    answers["docker_host_report"] = str(page)
    given = {"extravars": answers, "limit": host.name, "cmdline": "--check"}
    job = _job(tmp_path / "job", collections, fleet, "report.yml", **given)
    job["envvars"]["PATH"] = f"{environment}:{os.environ['PATH']}"
    done = _run(**job)
    assert done.rc == 0, done.stdout.read()
    assert host.rules() == before
    report = _artifact(done.events)["hostnet_report"]
    assert (report["page"], report["undeclared"], report["endpoints"]) == (str(page), [host.name], 1)
    assert "<h1>Docker&#39;s host networking</h1>" in page.read_text(encoding="utf-8")
    answers["docker_host_report_compare"] = "true"
    compared = _run(**{**job, "ident": "compared"})
    assert _artifact(compared.events)["hostnet_report"]["undeclared"] == []


@pytest.mark.slow()
def test_on_an_execution_node(fleet: List[lab.Host], collections: Path, tmp_path: Path) -> None:
    """transmit, worker, process: how AWX sends a job to another machine and gets its events back."""
    sent, answered = tmp_path / "sent", tmp_path / "answered"
    job = _job(tmp_path / "control", collections, fleet, "drift.yml", cmdline="--check")
    with sent.open("wb") as out:
        _run(streamer="transmit", _output=out, **job)
    (tmp_path / "node").mkdir()
    with sent.open("rb") as given, answered.open("wb") as out:
        node = str(tmp_path / "node")
        _run(streamer="worker", _input=given, _output=out, private_data_dir=node)
    events: List[Dict[str, Any]] = []
    with answered.open("rb") as given:
        _run(
            streamer="process",
            _input=given,
            private_data_dir=str(tmp_path / "back"),
            event_handler=lambda event: events.append(event) or True,
            quiet=True,
        )
    assert sorted(_artifact(events)["hostnet_drift"]["drifted"]) == sorted(host.name for host in fleet)


def _survey(name: str) -> List[Dict[str, Any]]:
    return json.loads((FOLDER / f"survey_{name}.json").read_text())["spec"]


@pytest.mark.parametrize("path", SURVEYS, ids=lambda path: path.stem)
def test_survey_is_as_awx_wants_it(path: Path) -> None:
    survey = json.loads(path.read_text())
    assert set(survey) == {"name", "description", "spec"} and survey["spec"]
    variables = [question["variable"] for question in survey["spec"]]
    assert len(variables) == len(set(variables))
    for question in survey["spec"]:
        _check_question(question)


def _check_question(question: Dict[str, Any]) -> None:
    """AWX's own rules for a question, see JobTemplateSurveySpec in its API."""
    assert {"type", "question_name", "variable", "required"} <= set(question)
    assert isinstance(question["question_name"], str) and question["question_name"]
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", question["variable"])
    assert isinstance(question["required"], bool)
    kind, default = question["type"], question["default"]
    assert kind in ("text", "textarea", "password", "multiplechoice", "multiselect", "integer", "float")
    if kind == "multiplechoice":
        assert default in question["choices"] and all(isinstance(choice, str) for choice in question["choices"])
    elif kind == "integer":
        assert isinstance(default, int) and question["min"] <= default <= question["max"]
    else:
        assert isinstance(default, str) and len(default) <= question["max"]


def test_variables_are_those_of_the_role_and_the_playbook() -> None:
    spec = yaml.safe_load((lab.ROOT / "roles/docker_host/meta/argument_specs.yml").read_text())
    options = spec["argument_specs"]["main"]["options"]
    for question in _survey("converge"):
        choices = options[question["variable"]].get("choices")
        assert not choices or question["choices"] == choices
    for name in ("publish", "report"):
        book = (lab.ROOT / "playbooks" / f"{name}.yml").read_text()
        for question in _survey(name):
            assert re.search(rf"\b{question['variable']}\b", book)


def _output(words: List[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow()
def test_execution_environment(context: Path, environment: Path) -> None:
    """The context's own check is content, and what it installs is that environment's and not the tests'."""
    environ = {"PATH": f"{environment}:{os.environ['PATH']}", "HOME": str(context)}
    check = ["bash", str(context / "_build/scripts/check_ansible"), str(environment / "python")]
    subprocess.run(check, env=environ, check=True, capture_output=True)
    version = _output([str(environment / "ansible-playbook"), "--version"])
    assert f"python module location = {environment.parent}" in version
    imported = _output([str(environment / "python"), "-c", "import ansible_runner as it; print(it.__file__)"])
    assert imported.startswith(str(environment.parent))


@pytest.mark.slow()
def test_system_packages(context: Path, environment: Path) -> None:
    """bindep reads them; of those for this machine none is missing, since the tests draw reports too."""
    lab.need("dot")
    bindep = [str(environment / "bindep"), "-f", str(context / "_build/bindep.txt")]
    assert _output([*bindep, "-l", "newline"]).split() == ["graphviz"]
    assert _output([*bindep, "-b"]) == ""


@pytest.mark.slow()
def test_setup_makes_it_all_in_awx(isolated: None, tmp_path: Path) -> None:
    """By the modules of awx.awx, whose argument specs see every argument, against an API of our own; twice."""
    if not (BUNDLE / "ansible_collections" / "awx" / "awx").exists():
        lab.missing("the collection awx.awx is not there: make .cache/awx")
    there = awx.Awx()
    with awx.served(there) as address:
        first, second = (_set_up(address, tmp_path) for _run in range(2))
    templates = {template["name"]: template for template in there.things["job_templates"]}
    assert set(templates) == {"hostnet drift", "hostnet converge", "hostnet publish port", "hostnet report"}
    assert {templates[name]["job_type"] for name in ("hostnet drift", "hostnet report")} == {"check"}
    assert templates["hostnet converge"]["diff_mode"]
    assert templates["hostnet converge"]["ask_limit_on_launch"]
    for template in templates.values():
        assert (lab.ROOT / template["playbook"]).exists()
    assert sorted(survey["spec"][0]["variable"] for survey in there.surveys.values()) == [
        "docker_host_firewall_backend",
        "docker_host_report",
        "publish_endpoint",
    ]
    (nightly,) = there.things["schedules"]
    assert "FREQ=DAILY" in nightly["rrule"]
    assert nightly["unified_job_template"] == templates["hostnet drift"]["id"]
    assert "failed=0" in first and re.search(r"changed=[1-9]", first)
    assert "changed=0" in second, second


def _set_up(address: str, home: Path) -> str:
    environ = {
        **os.environ,
        **playbook.ENVIRONMENT,
        "ANSIBLE_COLLECTIONS_PATH": str(BUNDLE),
        "HOME": str(home),
        "CONTROLLER_HOST": address,
        "CONTROLLER_OAUTH_TOKEN": "a-token",
        "no_proxy": "*",
    }
    book = [str(FOLDER / "setup.yml"), "-e", "awx_project_url=https://git.example/hostnet.git"]
    command = [str(BIN / "ansible-playbook"), "-i", "localhost,", *book]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
