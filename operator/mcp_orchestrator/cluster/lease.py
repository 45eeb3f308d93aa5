"""Leader election by a Lease: at most one replica's gate is open at a time. The operator's program runs it.

A leader renews every 2 s and may write until 10 s after it sent the last renewal that succeeded. Others take over when
the record has not changed for 15 s that they have seen themselves, whatever the clocks in it say. A write takes at
most 5 s, so none of an old leader can land after the next one has taken over.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mcp_orchestrator import settings, telemetry
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.resources import Object

logger = logging.getLogger(__name__)

RELEASED_SECONDS: Final = 1
STUCK_SECONDS: Final = 60.0


class LeadershipLost(Exception):
    """The lease could not be renewed in time or has another holder: end the process, its view may be wrong."""


class Api(Protocol):
    """What the elector needs of `client.Client`: one without a gate, and with a pool of its own."""

    async def get(self, resource: resources.Resource, name: str, namespace: str = "") -> Object: ...

    async def create(self, resource: resources.Resource, body: Object) -> Object: ...

    async def replace(self, resource: resources.Resource, body: Object) -> Object: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a lease holds, how often it is renewed, how long a leader may write then, how long a request takes."""

    duration_seconds: float = 15.0
    renew_seconds: float = 2.0
    deadline_seconds: float = 10.0
    request_seconds: float = 5.0
    jitter: float = 0.2


def boot_seconds() -> float:
    """A clock that never goes back and, on Linux, goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Elector:
    """One candidate. Its `check` is the gate of everybody else's writes."""

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
        now: Callable[[], float] = boot_seconds,
        random: Callable[[], float] = random.random,
    ) -> None:
        """`identity` names this replica for people; what is made unique is the holder, so that a restarted container
        doesn't take the lease of its predecessor for its own.
        """
        self.holder = f"{identity}_{uuid.uuid4().hex[:8]}"
        self.leading = asyncio.Event()
        self._api = api
        self._namespace = namespace
        self._name = name
        self._timing = timing or Timing()
        self._now = now
        self._random = random
        self._seen: Object | None = None
        self._seen_at = float("-inf")
        self._open_until = float("-inf")
        self._passed_at = now()

    @property
    def is_leader(self) -> bool:
        """True while the gate is open."""
        return self._now() < self._open_until

    def check(self) -> None:
        """Raises NotLeader if another replica may lead."""
        if not self.is_leader:
            raise errors.NotLeader(f"{self.holder} does not hold the lease {self._namespace}/{self._name}")

    def alive(self) -> str | None:
        """What is wrong with the election itself, for a liveness probe; None: nothing."""
        silent_seconds = self._now() - self._passed_at
        return f"the election has stood still for {silent_seconds:.0f} s" if silent_seconds > STUCK_SECONDS else None

    async def run(self) -> None:
        """Wait for the lease, lead, renew. Raises LeadershipLost.

        When cancelled, closes the gate and gives the lease back: cancel it when the last write is done.
        """
        telemetry.LEADER.labels(self._name).set(0)
        try:
            await self._acquire()
            logger.info("%s leads", self.holder)
            telemetry.LEADER.labels(self._name).set(1)
            self.leading.set()
            await self._hold()
        except asyncio.CancelledError:
            await self._release()
            raise
        finally:
            self._open_until = float("-inf")
            self.leading.clear()
            telemetry.LEADER.labels(self._name).set(0)

    async def _acquire(self) -> None:
        while True:
            self._passed_at = self._now()
            try:
                async with asyncio.timeout(self._timing.request_seconds):
                    if await self._try_to_acquire():
                        return
            except (errors.ApiError, TimeoutError) as error:
                logger.log(
                    logging.DEBUG if isinstance(error, (errors.Conflict, errors.AlreadyExists)) else logging.WARNING,
                    "could not take the lease: %s",
                    str(error) or "no answer in time",
                )
            await self._pause()

    async def _hold(self) -> None:
        while True:
            await self._pause()
            self._passed_at = self._now()
            if not self.is_leader:
                raise LeadershipLost(f"{self.holder} could not renew its lease in time")
            try:
                async with asyncio.timeout(min(self._timing.request_seconds, self._open_until - self._now())):
                    await self._renew()
            except (errors.ApiError, TimeoutError) as error:
                logger.warning("could not renew the lease: %s", str(error) or "no answer in time")

    async def _try_to_acquire(self) -> bool:
        try:
            lease = await self._api.get(resources.LEASES, self._name, self._namespace)
        except errors.NotFound:
            if not self._is_expired():
                return False  # it was held when we last saw it, and its holder may not know that it is gone
            return await self._write(None)
        self._observe(lease)
        # It may be ours by a try that got through unheard.
        if _spec(lease).get("holderIdentity") != self.holder and not self._is_expired():
            return False
        return await self._write(lease)

    async def _renew(self) -> None:
        try:
            await self._write(self._seen)
        except errors.NotFound:
            await self._write(None)  # somebody deleted it; nobody else makes it while they think that we hold it
        except errors.Conflict:
            # An earlier try may have got through unheard, or somebody edited the lease.
            lease = await self._api.get(resources.LEASES, self._name, self._namespace)
            if _spec(lease).get("holderIdentity") != self.holder:
                raise LeadershipLost(f"the lease has another holder: {_spec(lease).get('holderIdentity')!r}") from None
            await self._write(lease)

    async def _write(self, old: Object | None) -> bool:
        """Make the lease ours or renew it. Counts from before it was sent: others see it later than that."""
        sent_at = self._now()
        lease = self._lease(old)
        if old is None:
            self._seen = await self._api.create(resources.LEASES, lease)
        else:
            self._seen = await self._api.replace(resources.LEASES, lease)
        self._open_until = sent_at + self._timing.deadline_seconds
        return True

    async def _release(self) -> None:
        """Give the lease back, so that the next leader need not wait. Best effort: if it fails, they wait."""
        held = self.is_leader
        self._open_until = float("-inf")
        if not held:
            return
        try:
            async with asyncio.timeout(self._timing.request_seconds):
                lease = await self._api.get(resources.LEASES, self._name, self._namespace)
                if _spec(lease).get("holderIdentity") != self.holder:
                    return
                free = {"holderIdentity": "", "leaseDurationSeconds": RELEASED_SECONDS, "renewTime": _micro_time()}
                await self._api.replace(resources.LEASES, {**lease, "spec": {**_spec(lease), **free}})
        except (errors.ApiError, TimeoutError) as error:
            logger.warning("could not give the lease back: %s", str(error) or "no answer in time")

    def _observe(self, lease: Object) -> None:
        """Note when the record last changed, as seen from here."""
        if self._seen is None or _version(lease) != _version(self._seen):
            self._seen = lease
            self._seen_at = self._now()

    def _is_expired(self) -> bool:
        if self._seen is None or not _spec(self._seen).get("holderIdentity"):
            return True
        told_seconds = float(_spec(self._seen).get("leaseDurationSeconds") or 0)
        return self._now() >= self._seen_at + max(told_seconds, self._timing.duration_seconds)

    def _lease(self, old: Object | None) -> Object:
        now = _micro_time()
        before = _spec(old) if old else {}
        renewed = before.get("holderIdentity") == self.holder
        spec = {
            **before,
            "holderIdentity": self.holder,
            "leaseDurationSeconds": round(self._timing.duration_seconds),
            "renewTime": now,
            "acquireTime": before.get("acquireTime") if renewed else now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if renewed or old is None else 1),
        }
        metadata = old["metadata"] if old else {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": resources.LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}

    async def _pause(self) -> None:
        await asyncio.sleep(self._timing.renew_seconds * (1.0 + self._timing.jitter * (2.0 * self._random() - 1.0)))


def _spec(lease: Object) -> Object:
    spec: Object = lease.get("spec") or {}
    return spec


def _version(lease: Object) -> tuple[str, str]:
    return lease["metadata"].get("uid", ""), lease["metadata"].get("resourceVersion", "")


def _micro_time() -> str:
    return settings.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
