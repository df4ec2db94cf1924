"""Loops in chunks: every item once and in order, progress only where it is wanted."""

import pytest

from uqkit.running import run_in_chunks


@pytest.mark.parametrize("progress", [True, False, None])
@pytest.mark.parametrize(
    ("n_items", "chunk_size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 10, [3]), (0, 4, []), (3, 1, [1] * 3)]
)
def test_chunks_cover_all_items_in_order(n_items, chunk_size, sizes, progress):
    chunks = []
    run_in_chunks(chunks.append, n_items, chunk_size=chunk_size, label="points", progress=progress)
    assert [len(range(*chunk.indices(n_items))) for chunk in chunks] == sizes
    assert [item for chunk in chunks for item in range(n_items)[chunk]] == list(range(n_items))


def test_silent_where_stderr_is_no_terminal(capfd):
    run_in_chunks(lambda chunk: None, 10, chunk_size=3, label="points", progress=None)
    assert capfd.readouterr() == ("", "")


def test_shown_when_asked_on_stderr_only(capfd):
    run_in_chunks(lambda chunk: None, 10, chunk_size=3, label="points", progress=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "points" in captured.err
    assert "/10" in captured.err


def test_shown_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run_in_chunks(lambda chunk: None, 10, chunk_size=3, label="points", progress=None)
    assert "points" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_earlier_steps_done(error):
    done = []

    def step(chunk):
        if chunk.start == 6:
            raise error
        done.append(chunk)

    with pytest.raises(error):
        run_in_chunks(step, 10, chunk_size=3, label="points", progress=True)
    assert done == [slice(0, 3), slice(3, 6)]
