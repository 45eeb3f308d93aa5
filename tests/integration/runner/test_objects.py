"""Large results in an object store: a real S3 server that checks signatures, and what can be wrong with it."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import orjson
import pytest
from obstore.store import S3Store
from tests.integration.runner import bucket
from tests.integration.runner.bucket import BUCKET, KEYS, Bucket
from tests.ports import free_port

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.results import objects
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.objects import Objects
from mcp_orchestrator.runner.results.packs import Owner, Packs

OWNER = Owner("team", "r", "u-1", "r-job")
LARGE = Answer.of({"text": "long " * 20_000})
REFERENCE = f"s3://{BUCKET}/a/b/team/u-1/{LARGE.digest}"


def noise(size: int, seed: int = 7) -> Answer:
    """An answer that compresses to half of its size."""
    return Answer.said(random.Random(seed).randbytes(size // 2).hex())  # noqa: S311 - noise, the same each time


def a_run(store: Bucket, owner: Owner = OWNER, environ: Mapping[str, str] = KEYS, **fields: int) -> Objects:
    return Objects(store.settings(**fields), owner, environ)


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """An endpoint that takes requests and says nothing."""
    ended = asyncio.Event()

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


async def test_a_large_result_is_an_object_that_any_client_can_read(store: Bucket) -> None:
    others = Packs(OWNER)
    await a_run(store).keep(LARGE, others)
    assert others.reference(LARGE) == REFERENCE
    assert others.unwritten() == []
    client = S3Store(
        BUCKET,
        config={
            "endpoint": store.endpoint,
            "access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
            "secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        },
        client_options={"allow_http": True},
    )
    found = obstore.get(client, REFERENCE.removeprefix(f"s3://{BUCKET}/"))
    assert found.attributes == {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert orjson.loads(gzip.decompress(found.bytes())) == {"structured": [LARGE.result], "content": []}


async def test_a_result_is_read_back_by_another_pod_and_by_another_run_of_the_namespace(store: Bucket) -> None:
    await a_run(store).keep(LARGE, Packs(OWNER))
    for owner in (OWNER, replace(OWNER, run_uid="u-2")):
        assert await a_run(store, owner).fetch([REFERENCE]) == {REFERENCE: LARGE}


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param(REFERENCE.replace("/team/", "/other/"), id="of another namespace"),
        pytest.param(REFERENCE.replace("u-1", "../other/u-1"), id="on the way to another namespace"),
        pytest.param(REFERENCE.replace(BUCKET, "another"), id="of another bucket"),
        pytest.param(f"r-job-results-0/{LARGE.digest}", id="in a ConfigMap"),
    ],
)
async def test_what_no_run_of_the_namespace_wrote_is_not_read(store: Bucket, reference: str) -> None:
    await a_run(store, replace(OWNER, namespace="other")).keep(LARGE, Packs(OWNER))
    await a_run(store).keep(LARGE, Packs(OWNER))
    assert await a_run(store).fetch([reference]) == {}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="deleted"),
        pytest.param(b"", id="emptied"),
        pytest.param(b"rubbish", id="rubbish"),
        pytest.param(gzip.compress(LARGE.encode())[:-100], id="cut off"),
        pytest.param(gzip.compress(Answer.of("other").encode()), id="another answer"),
        pytest.param(gzip.compress(bytes(64 * 1024 * 1024)), id="a bomb"),
        pytest.param(bytes(17 * 1024 * 1024), id="larger than any answer"),
    ],
)
async def test_an_object_that_is_gone_or_was_changed_counts_as_lost(store: Bucket, content: bytes | None) -> None:
    await a_run(store).keep(LARGE, Packs(OWNER))
    (path,) = store.objects().values()
    path.unlink() if content is None else path.write_bytes(content)
    assert await a_run(store).fetch([REFERENCE]) == {}


WRONG: list[Any] = [
    pytest.param(
        {}, {"AWS_SECRET_ACCESS_KEY": "wr0ng"},
        'refuses the runner (SignatureDoesNotMatch): check the keys and the rights of Secret "bucket-keys"',
        id="wrong key",
    ),
    pytest.param({}, {"AWS_ACCESS_KEY_ID": "wr0ng"}, "failed with XAdminUserNotFound", id="unknown key"),
    pytest.param(
        {}, {"AWS_ACCESS_KEY_ID": ""},
        'needs Secret "bucket-keys" in this namespace, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY', id="no key",
    ),
    pytest.param(
        {}, {objects.CERTIFICATES: "rubbish"},
        'check objectStore of the chart, and ca.crt of Secret "bucket-keys"', id="no certificate",
    ),
    pytest.param(
        {"bucket": "another"}, {},
        "s3://another at ENDPOINT has no such bucket: make it, or correct objectStore.bucket of the chart",
        id="no bucket",
    ),
    pytest.param(
        {"endpoint": f"http://127.0.0.1:{free_port()}"}, {},
        "can't be reached: check objectStore.endpoint of the chart", id="server down",
    ),
    pytest.param(
        {"endpoint": "http://no-such-host.invalid"}, {},
        "can't be reached: check objectStore.endpoint of the chart", id="no such host",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "environ", "words"), WRONG)
async def test_while_the_store_fails_results_go_into_config_maps_and_the_log_says_why(
    store: Bucket, fields: dict[str, str], environ: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(store.settings(), **fields)
    others = Packs(OWNER)
    await Objects(settings, OWNER, {**KEYS, **environ}).keep(LARGE, others)
    assert others.reference(LARGE) == f"r-job-results-0/{LARGE.digest}"
    assert words.replace("ENDPOINT", store.endpoint) in caplog.text
    assert "ConfigMap" in caplog.text
    assert not any(key in caplog.text for key in (*KEYS.values(), "wr0ng"))


@pytest.mark.parametrize(("fields", "environ", "words"), WRONG)
async def test_a_result_that_no_config_map_takes_then_fails_its_task_in_words(
    store: Bucket, fields: dict[str, str], environ: dict[str, str], words: str
) -> None:
    run = Objects(replace(store.settings(), **fields), OWNER, {**KEYS, **environ})
    with pytest.raises(CallFailed) as failed:
        await run.keep(noise(4_000_000), Packs(OWNER))
    assert failed.value.error_class == ErrorClass.RESULT_TOO_LARGE
    assert words.replace("ENDPOINT", store.endpoint) in failed.value.message
    assert "ConfigMap can't take it either: the tool's result has 2.2 MiB" in failed.value.message
    assert not any(key in failed.value.message for key in (*KEYS.values(), "wr0ng"))


async def test_a_store_that_does_not_answer_costs_patience_once(
    store: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(objects, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(objects, "IMPATIENCE_SECONDS", 0.05)
    async with silence() as endpoint:
        run, others, clock = Objects(replace(store.settings(), endpoint=endpoint), OWNER, KEYS), Packs(OWNER), []
        for seed in (1, 2):
            began = asyncio.get_running_loop().time()
            await run.keep(noise(100_000, seed), others)
            clock.append(asyncio.get_running_loop().time() - began)
        assert await run.fetch([REFERENCE]) == {}
    assert clock[0] >= 2 > clock[1]
    assert len(others.unwritten()) == 1
    assert caplog.text.count("does not answer in time") == 3


async def test_a_store_s_own_authority_is_trusted_if_the_secret_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = bucket.certificates(tmp_path)
    options = ("--cert", str(tmp_path / "server.crt"), "--key", str(tmp_path / "server.key"))
    async with bucket.serving(tmp_path, *options, scheme="https") as store:
        trusting, others = Objects(store.settings(), OWNER, {**KEYS, objects.CERTIFICATES: authority}), Packs(OWNER)
        await trusting.keep(LARGE, others)
        assert others.reference(LARGE) == REFERENCE
        await a_run(store).keep(LARGE, fallback := Packs(OWNER))
    assert fallback.reference(LARGE) != REFERENCE
    assert 'put its authority\'s into ca.crt of Secret "bucket-keys"' in caplog.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(
            {"max_result_bytes": 100_000}, "compressed, and objectStore.maxResultBytes allows 97.7 KiB", id="one"
        ),
        pytest.param({"max_run_bytes": 300_000}, "and of objectStore.maxRunBytes there are", id="all"),
    ],
)
async def test_beyond_the_limits_a_result_is_refused_in_words(store: Bucket, fields: Any, words: str) -> None:
    run, others = a_run(store, **fields), Packs(OWNER)
    with pytest.raises(CallFailed, match=words) as refusal:  # noqa: PT012 - some of them have room
        for seed in range(3):
            await run.keep(noise(400_000, seed), others)
    assert refusal.value.error_class == ErrorClass.RESULT_TOO_LARGE
    assert others.unwritten() == []
