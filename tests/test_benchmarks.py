"""A benchmark that wants a GPU runs on a CPU with small networks."""

import sys
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="one backend is enough: this one compiles nothing")


def test_the_gpu_benchmark_runs_small(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    import gpu

    gpu.main(["--toy", "--only", "ViT", "--repeats", "1"])
    told = capsys.readouterr().out
    assert "| ViT | mixed_bfloat16 | lrp.attention |" in told
    differences = [float(line.split("|")[3]) for line in told.rpartition("float64 on the CPU |")[2].splitlines()[2:] if line]
    assert len(differences) == 13
    assert max(differences) < 1e-4
    with pytest.raises(SystemExit, match="no GPU"):
        gpu.main(["--only", "ViT-B/16"])
    sys.modules.pop("gpu")
