"""The examples of the workflow language, one for each construct, applied and run on the cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import examples
from tests.e2e.space import Space


@pytest.fixture(scope="module")
def language(space: Space) -> Space:
    space.apply_example("language")
    return space


@pytest.mark.parametrize("run", examples.LANGUAGE)
def test_an_example_of_the_language_comes_to_what_it_says(language: Space, run: str) -> None:
    assert language.succeed(run)["status"]["outputs"] == examples.LANGUAGE[run]


def phases(run: dict[str, Any]) -> dict[str, str]:
    return {task["name"]: task["phase"] for task in run["status"]["tasks"]}


def test_a_skip_goes_on_to_what_needs_the_task_and_says_why(language: Space) -> None:
    tasks = {task["name"]: task for task in language.succeed("conditions")["status"]["tasks"]}
    assert {name: task["phase"] for name, task in tasks.items()} == {
        "shallow": "Succeeded", "deep": "Skipped", "after-deep": "Skipped", "either": "Succeeded"
    }  # fmt: skip
    assert (tasks["deep"]["reason"], tasks["after-deep"]["reason"]) == ("WhenFalse", "DependencyNotMet")


def test_items_and_nested_tasks_stand_in_the_status_under_names_of_their_own(language: Space) -> None:
    assert phases(language.succeed("fan-out"))["add[wrong]"] == "Failed"
    assert {"one/say", "many[first]/say", "many[second]/say"} <= phases(language.succeed("nested")).keys()


def test_a_secret_parameter_reaches_its_tool_and_stands_nowhere_else(language: Space) -> None:
    run = language.succeed("parameters")
    log = language.kubectl("logs", f"job/{run['status']['jobName']}")
    events = json.dumps(language.events("WorkflowRun", "parameters"))
    assert phases(run)["whisper"] == "Succeeded"
    for place in (json.dumps(run), log, events):
        assert "open sesame" not in place


def test_a_run_takes_over_what_succeeded_in_another_one(language: Space) -> None:
    failed = language.finish("failure-to-resume")
    assert phases(failed) == {"costly": "Succeeded", "weather": "Failed"}
    resumed = language.succeed("resumed")
    tasks = {task["name"]: task for task in resumed["status"]["tasks"]}
    assert tasks["costly"]["reusedFrom"] == "failure-to-resume"
    assert tasks["costly"]["completionTime"] == failed["status"]["tasks"][0]["completionTime"]
    assert tasks["weather"]["message"] == "it did not succeed there: Failed"
    assert resumed["status"]["outputs"]["conditions"]
