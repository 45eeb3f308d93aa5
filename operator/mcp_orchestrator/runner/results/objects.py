"""The object store, for results that are too large for the run's status: an object for each. Used by `reporting`.

An object is written before its task counts as done, and so before the status names it. Its key ends in the digest of
what is in it, so writing it again changes nothing. Imported only where a store is configured.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.results import packing, packs, values
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Owner, Packs
from mcp_orchestrator.settings import PREFIX, ObjectStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

log = logging.getLogger(__name__)

SCHEME = "s3://"
KEY_ID, KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
CERTIFICATES = f"{PREFIX}OBJECT_STORE_CA"
"""The variable with certificates that the store's is signed by, if they are none of the system's."""
PATIENCE_SECONDS = 30.0
IMPATIENCE_SECONDS = 3.0
"""What a store gets that did not answer in time, until it does: the run has its own time-out to keep."""
READS_AT_ONCE = 8
_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
_ATTRIBUTES = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
_KINDS = {
    "Connect": "can't be reached: check objectStore.endpoint of the chart, and what keeps the pod from it",
    "Timeout": "does not answer in time: check objectStore.endpoint of the chart, and what keeps the pod from it",
}


class StoreFailed(Exception):
    """The store did not do what it was asked to; `str()` says why, and what to do about it."""


class Missing(Exception):
    """There is no such object, or none for us."""


class Objects:
    """The objects of one run. Those of other runs of its namespace can be read."""

    def __init__(self, store: ObjectStore, owner: Owner, environ: Mapping[str, str]) -> None:
        self._settings = store
        self._room = store.max_run_bytes
        self._patience = PATIENCE_SECONDS
        self._namespace = f"{store.prefix}/{owner.namespace}/".lstrip("/")
        self._run = f"{self._namespace}{owner.run_uid}/"
        self._name = f"the object store {SCHEME}{store.bucket}{f' at {store.endpoint}' if store.endpoint else ''}"
        self._identity = f'Secret "{store.secret_name}"' if store.secret_name else f"service account {RUNNER_MANAGER}"
        self._environ = environ
        self._opened: S3Store | None = None

    async def keep(self, answer: Answer, others: Packs) -> None:
        """Put the answer into the store, or into a pack if the store fails. Raises CallFailed if there is no room."""
        data = await asyncio.to_thread(packing.pack, answer)
        if len(data) > self._settings.max_result_bytes:
            words = "the tool's result has {} even when compressed, and objectStore.maxResultBytes allows {}"
            raise packs.too_large(words, len(data), self._settings.max_result_bytes)
        if len(data) > self._room:
            words = "the results of the run would have {} more, and of objectStore.maxRunBytes there are {} left"
            raise packs.too_large(words, len(data), self._room)
        self._room -= len(data)
        try:
            await self._put(self._run + answer.digest, data)
        except StoreFailed as failed:
            self._room += len(data)
            _fall_back(answer, others, failed)
            log.warning("a large result goes into a ConfigMap instead: %s", failed)
        else:
            others.know(f"{SCHEME}{self._settings.bucket}/{self._run}{answer.digest}")

    async def fetch(self, references: Iterable[str]) -> dict[str, Answer]:
        """The answers by their references: of this namespace, and as they were written. Others are left out."""
        found: dict[str, Answer] = {}
        turns = asyncio.Semaphore(READS_AT_ONCE)
        failures: list[StoreFailed] = []

        async def fetch(reference: str, key: str) -> None:
            async with turns:
                if failures:
                    return
                try:
                    found[reference] = packing.unpack(await self._get(key), key.rpartition("/")[2])
                except StoreFailed as failed:
                    failures.append(failed)
                except (Missing, packing.Unreadable) as error:
                    log.warning("the result %s can't be taken over: %s", reference, error)

        async with asyncio.TaskGroup() as group:
            for reference in dict.fromkeys(references):
                if key := self._readable(reference):
                    group.create_task(fetch(reference, key))
        if failures:
            log.warning("results can't be taken over: %s", failures[0])
        return found

    def _readable(self, reference: str) -> str:
        """The key that it names, if a run of this namespace may have written it: a status can be written by others."""
        key = reference.removeprefix(f"{SCHEME}{self._settings.bucket}/")
        own = key != reference and re.fullmatch(rf"{re.escape(self._namespace)}[\w-]+/[0-9a-f]{{32}}", key)
        return key if own else ""

    def _client(self) -> S3Store:
        """The client, made at its first use. Raises StoreFailed: a run has to begin with whatever it finds here."""
        if self._settings.secret_name and not (self._environ.get(KEY_ID) and self._environ.get(KEY)):
            raise StoreFailed(f"{self._name} needs {self._identity} in this namespace, with {KEY_ID} and {KEY}")
        try:
            self._opened = self._opened or _open(self._settings, self._environ)
        except (BaseError, ValueError):
            words = f"can't be used as it is described: check objectStore of the chart, and ca.crt of {self._identity}"
            raise StoreFailed(f"{self._name} {words}") from None
        return self._opened

    async def _put(self, key: str, data: bytes) -> None:
        client = self._client()
        try:
            async with asyncio.timeout(self._patience):
                await obstore.put_async(client, key, data, attributes=_ATTRIBUTES, use_multipart=False)
            self._patience = PATIENCE_SECONDS
        except TimeoutError as error:
            self._patience = IMPATIENCE_SECONDS
            raise StoreFailed(f"{self._name} {_KINDS['Timeout']}") from error
        except (BaseError, OSError, ValueError) as error:
            raise StoreFailed(f"{self._name} {self._why(error)}") from None

    async def _get(self, key: str) -> bytes:
        client = self._client()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await obstore.get_async(client, key)
                if found.meta["size"] > values.RESULT_BYTES:
                    raise Missing("the object was replaced by a larger one")
                return bytes(await found.bytes_async())
        except TimeoutError as error:
            raise StoreFailed(f"{self._name} {_KINDS['Timeout']}") from error
        except (BaseError, OSError, ValueError) as error:
            # Without the right to list a bucket, S3 says of what is not there that it may not be read.
            if isinstance(error, PermissionDeniedError) or _code(str(error)) == "NoSuchKey":
                raise Missing("it is not there any more, or may not be read") from None
            raise StoreFailed(f"{self._name} {self._why(error)}") from None

    def _why(self, error: Exception) -> str:
        """What the store's answer means. Its own words stay out: some of them quote the request's credentials."""
        text = str(error)
        code = _code(text)
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            return f"refuses the runner ({code or 'HTTP 403'}): check the keys and the rights of {self._identity}"
        if code == "NoSuchBucket":
            return "has no such bucket: make it, or correct objectStore.bucket of the chart"
        if "InvalidCertificate" in text:
            return f"has a certificate that is not trusted: put its authority's into ca.crt of {self._identity}"
        if (kind := re.search(r"kind: (\w+)", text)) and kind[1] in _KINDS:
            return _KINDS[kind[1]]
        status = re.search(r"status code: (\d{3})", text)
        said = code or (f"HTTP {status[1]}" if status else type(error).__name__)
        return f"failed with {said}: check objectStore of the chart, and {self._identity}"


def _fall_back(answer: Answer, others: Packs, failed: StoreFailed) -> None:
    try:
        others.add(answer)
    except CallFailed as full:
        message = f"the tool's result can't be kept: {failed}. A ConfigMap can't take it either: {full.message}"
        raise CallFailed(ErrorClass.RESULT_TOO_LARGE, message) from failed


def _open(store: ObjectStore, environ: Mapping[str, str]) -> S3Store:
    """A client, with the keys of the Secret if one is named; else it looks itself for what the pod's identity is."""
    client: ClientConfig = {"allow_http": store.endpoint.startswith("http://"), "timeout": "30s"}
    if certificates := environ.get(CERTIFICATES):
        client["root_certificate"] = certificates
    where: S3Config = {}
    if store.endpoint:
        where["endpoint"] = store.endpoint
    if store.region:
        where["region"] = store.region
    if store.secret_name:
        where["access_key_id"] = environ.get(KEY_ID, "")
        where["secret_access_key"] = environ.get(KEY, "")
    return S3Store(store.bucket, config=where, client_options=client, retry_config=_RETRIES)


def _code(text: str) -> str:
    """The error's code, of an answer as S3 writes it."""
    found = re.search(r"<Code>(\w{1,64})</Code>", text)
    return found[1] if found else ""
