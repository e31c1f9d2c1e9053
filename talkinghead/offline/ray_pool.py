"""Workers of a batch on a Ray cluster: the same work, on as many machines as it has."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from talkinghead.errors import BatchError
from talkinghead.offline.pool import Report
from talkinghead.offline.worker import THREAD_VARIABLES, Message, Worker

_POLL_S = 0.5


class RayPool:
    """Ray actors, one a CPU of the cluster. Photos, sounds and outputs must have the same paths on every machine.

    address: of a running cluster, or "auto" for one that is found or else started on this machine.
    size: workers; None: as many as the cluster has CPUs.
    """

    def __init__(self, address: str, size: int | None = None) -> None:
        if find_spec("ray") is None:
            raise BatchError('--ray needs Ray: pip install "talkinghead[ray]"')
        import ray

        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, address)
        self.size = size or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._free: list[Any] = []
        self._busy: dict[Any, tuple[Any, Message]] = {}

    def start(self, job: Message) -> None:
        actor = self._free.pop() if self._free else self._new_actor()
        self._busy[actor.perform.remote({**job, "core": None})] = (actor, job)

    def wait(self) -> list[Report]:
        done, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=_POLL_S)
        reports = []
        for reference in done:
            actor, job = self._busy.pop(reference)
            try:
                message = self._ray.get(reference)
                self._free.append(actor)
            except self._ray.exceptions.RayError as error:
                message = {"event": "died", "reason": f"its worker was lost ({type(error).__name__})"}
            reports.append(Report(job, message))
        return reports

    def close(self) -> None:
        for actor in (*self._free, *(actor for actor, _ in self._busy.values())):
            self._ray.kill(actor)
        self._free, self._busy = [], {}
        if self._own:
            self._ray.shutdown()

    def _new_actor(self) -> Any:
        # The environment is set before the actor's process imports anything.
        environment = {"env_vars": dict.fromkeys(THREAD_VARIABLES, "1")}
        return self._ray.remote(num_cpus=1, runtime_env=environment)(_RayWorker).remote()


class _RayWorker:
    """What runs in a Ray process."""

    def __init__(self) -> None:
        self._worker = Worker()

    def perform(self, job: Message) -> Message:
        return self._worker.perform(job, lambda message: None)


def _connect(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != "auto":
            raise BatchError(f"no Ray cluster at {address}: start one with ray start --head, or use --ray auto") from error
        ray.init(address="local", include_dashboard=False, **quiet)
    except (ValueError, RuntimeError) as error:
        raise BatchError(f"cannot reach a Ray cluster at {address}: {str(error).splitlines()[0]:.120}") from error
