"""hack/image: the step that is shown of a build."""

import pytest

from imagebuild import steps


@pytest.mark.parametrize(
    ("line", "step"),
    [
        pytest.param("[2/5] STEP 3/4: RUN --mount=type=secret,id=x uv  sync", "RUN uv sync", id="buildah"),
        pytest.param("#12 [tools 3/4] RUN --mount=type=secret,id=x uv  sync", "RUN uv sync", id="buildkit"),
        pytest.param(
            "STEP 1/2: RUN if [ -f /run/s ]; then . /run/s; fi && apt-get update", "RUN apt-get update", id="settings"
        ),
        pytest.param("Get:1 trixie InRelease", "", id="no-step"),
    ],
)
def test_a_step_is_named_without_its_mounts_and_settings(line: str, step: str) -> None:
    assert steps.name(line) == step
