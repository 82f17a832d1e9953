"""Ray, and the workers that are asked of it."""

import importlib
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from innspect.checks import Integer, Number
from innspect.ray.parcels import Parcel

_LEFT = 1  # CPU for Ray's own tasks, such as those that read a dataset


def installed() -> Any:
    """Ray.

    Raises:
        ImportError: It is not installed.
    """
    try:
        importlib.import_module("ray.data")
    except ImportError as error:
        raise ImportError(f'`innspect.ray` needs Ray Data: pip install "innspect[ray]". Received: {error}') from error
    return importlib.import_module("ray")


def check_dataset(dataset: Any) -> None:
    """Raise where it is no dataset of Ray's."""
    if not isinstance(dataset, installed().data.Dataset):
        raise TypeError(
            "`dataset` must be a `ray.data.Dataset`, such as `ray.data.read_parquet(path)` or `ray.data.from_numpy(x)`. "
            f"Received: {type(dataset).__name__}"
        )


@dataclass(frozen=True)
class Workers:
    """Processes that hold a model each.

    Attributes:
        count: How many; None: one for each CPU of the cluster, or for each GPU where these are asked for.
        cpus: CPUs that each takes of what Ray counts; None: as many as there are, one at most, so that one is left for reading.
        gpus: GPUs that each takes; half of one puts two on it.
        threads: Threads that each computes with.
    """

    count: int | None = None
    cpus: float | None = None
    gpus: float = 0
    threads: int = 1

    def __post_init__(self) -> None:
        Integer(1).check_given("workers", self.count)
        Number().check_given("cpus", self.cpus)
        Number().check("gpus", self.gpus)
        Integer(1).check("threads", self.threads)

    def settings(self) -> dict[str, Any]:
        """Arguments of `Dataset.map_batches`."""
        there = ray_started().cluster_resources()
        count, cpus = self.shared(there.get("CPU", 0.0), there.get("GPU", 0.0))
        return {
            "compute": installed().data.ActorPoolStrategy(size=count),
            "num_cpus": cpus,
            "num_gpus": self.gpus,
            "runtime_env": {"env_vars": self.environment()},
        }

    def shared(self, cpus: float, gpus: float) -> tuple[int, float]:
        """How many workers there are on so many CPUs and GPUs, and how many CPUs each takes.

        Raises:
            ValueError: There is no GPU.

        Warns:
            UserWarning: Nothing is left to read with.
        """
        if self.gpus and gpus < self.gpus:
            raise ValueError(f"`gpus` must be at most the {gpus:g} GPUs that Ray knows of. Received: {self.gpus!r}")
        most = gpus / self.gpus if self.gpus else cpus / self.cpus - _LEFT / self.cpus if self.cpus else cpus
        count = self.count or max(1, math.floor(most + 1e-9))
        left = max(0.0, cpus - _LEFT)
        each = math.floor(min(1.0, left / count) * 100) / 100 if self.cpus is None else float(self.cpus)
        if each * count > left:
            warnings.warn(
                f"{count} workers of {each:g} CPUs take all of the {cpus:g} CPUs that Ray knows of, so none is left to read "
                "the dataset with: unless the cluster grows, nothing will come. Give fewer `workers` or `cpus`.",
                stacklevel=5,
            )
        return count, each

    def environment(self) -> dict[str, str]:
        """What workers are started with: the backend of this process, a framework's threads, and that memory is kept."""
        threads = str(self.threads)
        of_threads = "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS TF_NUM_INTRAOP_THREADS PJRT_NPROC NPROC".split()
        found = dict.fromkeys(of_threads, threads) | {"TF_NUM_INTEROP_THREADS": "1", "KERAS_BACKEND": keras.backend.backend()}
        # Ray's calls come in threads, whose memory glibc gives back after every batch unless it is that of the main one.
        found["MALLOC_ARENA_MAX"] = "1"
        if 0 < self.gpus < 1:  # frameworks otherwise take all of its memory
            found |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        kept = ("TF_CPP_MIN_LOG_LEVEL", "OMP_WAIT_POLICY", "JAX_ENABLE_X64")
        return found | {name: os.environ[name] for name in kept if name in os.environ}


def ray_started() -> Any:
    """Ray, started on this machine where it is not yet."""
    module = installed()
    if not module.is_initialized():
        module.init()
    return module


class Sent:
    """A parcel in Ray's store, fetched by calling it; who holds this keeps it there, for workers that replace others."""

    def __init__(self, parcel: Parcel):
        self._kept = ray_started().put(parcel)

    def __call__(self) -> Parcel:
        parcel: Parcel = installed().get(self._kept)
        return parcel


Fetch = Callable[[], Parcel]
