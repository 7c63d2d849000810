"""The bar: on a terminal a line with rate and remaining time, elsewhere nothing."""

import io

from aejax.training import Progress, ProgressBar
from aejax.training.progress import describe, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_shown_rate_and_remaining_time(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    stream = Terminal()
    bar = ProgressBar(stream)
    bar(Progress(5, 20, 2.0, 2.5, {"loss": 1.5, "val_loss": 2.0, "kl": 9.0}, done=False))
    assert "epoch 5/20" in stream.getvalue()
    assert "val_loss 2" in stream.getvalue()
    assert "2.5 epochs/s" in stream.getvalue()
    assert "6 s left" in stream.getvalue()
    bar(Progress(6, 20, 2.0, 2.5, {}, done=False))  # too soon to be read: not drawn
    assert "epoch 6" not in stream.getvalue()
    bar(Progress(20, 20, 90.0, 2.5, {}, done=True))
    assert stream.getvalue().endswith("done in 1 min 30 s\n")


def test_nothing_is_drawn_where_either_stream_is_no_terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", io.StringIO())
    ProgressBar(stream)(Progress(5, 20, 2.0, 2.5, {}, done=True))
    monkeypatch.setattr("sys.stdout", Terminal())
    ProgressBar(io.StringIO())(Progress(5, 20, 2.0, 2.5, {}, done=True))
    assert stream.getvalue() == ""


def test_durations_are_said_as_a_person_would():
    assert [duration(s) for s in (0.4, 59, 61, 7300)] == ["0 s", "59 s", "1 min 1 s", "2 h 1 min"]
    assert "left" not in describe(Progress(0, 10, 0.0, 0.0, {}, done=False))


def test_the_bar_moves_within_an_epoch():
    half = Progress(0, 1, 10.0, 0.05, {"loss": 1.0}, done=False, step=50, steps_per_epoch=100, ends_epoch=False)
    assert describe(half, width=4) == "[##..] epoch 0/1  loss 1  0.05 epochs/s  10 s left"
