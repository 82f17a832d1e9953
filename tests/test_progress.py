"""What is said of long work, and when."""

import logging

import keras
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect.analyzers.base import work
from innspect.progress import Progress, duration, estimates


class Clock:
    """Seconds that pass only where something is asked: `step` each time."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def network():
    body = [L.Conv2D(40, 3, activation="relu", name="conv"), L.GlobalAveragePooling2D(), L.Dense(2)]
    return shake(keras.Sequential([keras.Input((6, 6, 2)), *body]))


@pytest.mark.parametrize(("step", "said"), [(5.0, ["rise: about 80 s for 160 more of 180 steps"]), (0.5, [])])
def test_an_estimate_is_told_once_where_it_is_long(step, said):
    told, clock = [], Clock(step)
    with estimates(told.append):
        done = work.Work("rise", 180, 0, clock)
        for _ in range(18):
            done.add(10)
    assert told == said


def test_it_stands_above_the_bar(capsys):
    done = work.Work("rise", 40, 1, Clock(60))
    for _ in range(4):
        done.add(10)
    shown = capsys.readouterr().out
    assert shown.index("rise: about 2 min for 20 more of 40 steps\n") < shown.index("20/40")
    assert "40/40" in shown


def test_a_bar_of_one_step_is_shown(capsys):
    work.Work("rise", 40, 1, Clock(60)).add(40)
    assert "40/40" in capsys.readouterr().out


@pytest.mark.parametrize(("method", "steps"), [("rise", 48), ("score_cam", 80), ("ablation_cam", 80), ("occlusion", 50)])
def test_methods_that_take_long_tell_what_they_do(method, steps, monkeypatch, caplog):
    """Two samples: so many masks, channels or windows of each."""
    monkeypatch.setattr(work, "LONG", -1.0)
    arguments = {"num_masks": 24} if method == "rise" else {"window": 2, "stride": 1} if method == "occlusion" else {}
    analyzer = innspect.create_analyzer(method, network(), **arguments)
    with caplog.at_level(logging.INFO, "innspect.progress"):
        analyzer.analyze(array(2, 6, 6, 2), 1, batch_size=8)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{method}: about 0 s for ")
    assert record.getMessage().endswith(f" more of {steps} steps")


def test_times_in_words():
    assert [duration(s) for s in (12.3, 89, 95, 600, 4000, 7000, 1e6)] == [
        "12 s", "89 s", "1.6 min", "10 min", "67 min", "1.9 h", "278 h",
    ]  # fmt: skip


def test_the_command_line_shows_it(capsys):
    with Progress("Explaining", 1) as progress, estimates(progress.tell):
        work.Work("rise", 400, 0, (clock := Clock(5.0))).add(1)
        done = work.Work("rise", 400, 0, clock)
        done.add(1)
        done.add(1)
    assert "rise: about 33 min for 398 more of 400 steps" in capsys.readouterr().out
    assert not logging.getLogger("innspect.progress").handlers
