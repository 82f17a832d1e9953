"""`innspect benchmark`."""

import csv
import json

import pytest

from innspect import cli, evaluation
from innspect.evaluation.planted import run as running
from innspect.evaluation.planted.distractor import Distractor


def run(*more):
    return cli.main(["benchmark", "--task", "distractor", "--method", "gradient", "--samples", "4", *more])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Distractor, "steps", 50)


def test_the_command_prints_a_table(capsys):
    assert run("--seeds", "1") == 0
    said = capsys.readouterr().out
    assert "sign_accuracy (higher)" in said
    assert "distractor: 1 network, held-out accuracy" in said


def test_the_command_writes_json_csv_and_a_page(capsys, tmp_path):
    assert run("--seeds", "2", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["networks"]["distractor"]) == 2
    assert len(found["values"]["distractor/relevance_mass"]["gradient"]) == 2
    assert run("--seeds", "2", "--format", "csv", "--out", str(tmp_path / "a.csv")) == 0
    rows = list(csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["task", "score", "method", "seed", "accuracy", "value"]
    assert len(rows) == 1 + 4 * 2 * 2
    assert float(rows[1][5]) == pytest.approx(found["values"]["distractor/relevance_mass"]["gradient"][0])
    assert run("--seeds", "1", "--format", "html", "--out", str(tmp_path / "a.html")) == 0
    assert "distractor" in (tmp_path / "a.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert run("--format", "csv", "--out", str(tmp_path / "a.csv")) == 1
    assert "exists" in capsys.readouterr().err


def test_what_was_done_is_shown_when_it_is_interrupted(monkeypatch, capsys):
    trained = Distractor.trained

    def once(self, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return trained(self, seed)

    monkeypatch.setattr(Distractor, "trained", once)
    assert run("--seeds", "3") == 130
    assert "distractor: 1 network" in capsys.readouterr().out


def test_the_command_lists_tasks(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["benchmark", "--list"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in evaluation.list_tasks())


def test_what_the_command_cannot_do(capsys):
    assert cli.main(["benchmark", "model.keras"]) == 1
    assert "DATA" in capsys.readouterr().err
    assert cli.main(["benchmark", "--task", "stamps"]) == 1
    assert "'stamps'" in capsys.readouterr().err
    assert cli.main(["benchmark", "--task", "nothing"]) == 1
    assert "Unknown task" in capsys.readouterr().err
    assert running.METHODS
