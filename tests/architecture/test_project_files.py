"""The files for hosts and tools exist, can be parsed, and agree with each other."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = [".github/workflows/tests.yml", ".github/workflows/wheels.yml"]
KEYS = {
    ".clang-format": {"BasedOnStyle", "ColumnLimit"},
    ".github/ISSUE_TEMPLATE/bug.yml": {"name", "description", "body"},
    ".github/ISSUE_TEMPLATE/config.yml": {"contact_links"},
    ".github/ISSUE_TEMPLATE/feature.yml": {"name", "description", "body"},
    ".github/dependabot.yml": {"version", "updates"},
    ".pre-commit-config.yaml": {"repos"},
    # YAML 1.1 takes the key `on` for a truth value.
    **{name: {True, "jobs", "permissions"} for name in WORKFLOWS},
}
PROSE = ["CODE_OF_CONDUCT.md", "SECURITY.md", "changelog.d/README.md", ".github/PULL_REQUEST_TEMPLATE.md"]


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def classified_versions() -> list[str]:
    prefix = "Programming Language :: Python :: 3."
    return [each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"] if each.startswith(prefix)]


@pytest.mark.parametrize("name", KEYS)
def test_a_file_for_tools_parses_and_has_its_keys(name: str) -> None:
    assert KEYS[name] <= load(name).keys()


def test_every_file_for_the_host_is_checked() -> None:
    found = {str(path.relative_to(ROOT)) for path in (ROOT / ".github").rglob("*.y*ml")}
    assert found == {name for name in KEYS if name.startswith(".github/")}


def test_editors_and_formatters_use_one_line_length() -> None:
    settings = configparser.ConfigParser()
    settings.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    assert settings["*.{c,h,py,pyi,sh,toml}"].getint("max_line_length") == PROJECT["tool"]["ruff"]["line-length"]
    assert load(".clang-format")["ColumnLimit"] == PROJECT["tool"]["ruff"]["line-length"]


@pytest.mark.parametrize("name", PROSE)
def test_a_file_for_contributors_is_not_empty(name: str) -> None:
    assert len((ROOT / name).read_text()) > 100


def test_classifiers_workflows_and_wheels_name_the_same_pythons() -> None:
    versions = classified_versions()
    first, *others = versions
    assert load(".github/workflows/tests.yml")["jobs"]["linux"]["strategy"]["matrix"]["python"] == versions
    assert f"tools/core_tests.sh {' '.join(others)}\n" in (ROOT / ".ci/run").read_text()
    assert PROJECT["project"]["requires-python"] == f">={first}"
    built = PROJECT["tool"]["cibuildwheel"]["build"]
    assert built.split() == [f"cp{version.replace('.', '')}-*" for version in versions]


@pytest.mark.parametrize("tool", ["ruff", "clang-format"])
def test_pre_commit_uses_the_pinned_formatters(tool: str) -> None:
    (pinned,) = [each for each in PROJECT["project"]["optional-dependencies"]["dev"] if each.startswith(tool)]
    (revision,) = [each["rev"] for each in load(".pre-commit-config.yaml")["repos"] if tool in each["repo"]]
    assert pinned == f"{tool}=={revision.removeprefix('v')}"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read_and_pins_its_actions(name: str) -> None:
    workflow = load(name)
    assert workflow["permissions"] == {"contents": "read"}
    actions = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert actions
    assert not [action for action in actions if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)]


def test_only_the_publishing_job_has_more_permissions() -> None:
    jobs = load(".github/workflows/wheels.yml")["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert (jobs["publish"]["permissions"], jobs["publish"]["environment"]) == ({"id-token": "write"}, "pypi")


def test_news_files_have_valid_names_and_the_changelog_has_the_marker() -> None:
    settings = PROJECT["tool"]["towncrier"]
    assert (ROOT / settings["filename"]).read_text().count(settings["start_string"]) == 1
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    names = [path.name for path in (ROOT / settings["directory"]).iterdir() if path.name not in settings["ignore"]]
    assert not [name for name in names if not re.fullmatch(rf"(\d+|\+[\w-]+)\.({kinds})\.md", name)]
