"""Explaining, fitting, collecting and evaluating on a cluster, by Ray Data: needs `pip install "innspect[ray]"`.

Requirements of the design:

- Everything goes through `Dataset.map_batches` on a pool of actors, so that reading, scheduling, and replacing what dies are
  Ray's. A worker holds one model and what was compiled for it.
- What a worker is asked depends on the batch alone, so that another can be asked it again: sums over a data set are sums of
  parts of it, each finished in one call, which are merged in a tree.
- A model travels as its `.keras` file, once; the user's is only read. Workers run the backend of who asks them.
- Ray is imported when one of these functions is called, never before.
"""

from innspect.ray.collecting import collect
from innspect.ray.evaluating import evaluate
from innspect.ray.explaining import explain
from innspect.ray.fitting import fit_patterns

__all__ = ["collect", "evaluate", "explain", "fit_patterns"]
