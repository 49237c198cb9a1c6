"""The ear tells sentences apart by their chords, also on a line that is not perfect."""

import numpy as np
import pytest

from gateway.tools.simulate.tones import chord_of, length, listen, speech

RATE = 8_000
QUESTION, ANSWER = "On which day would you like to come?", "Tomorrow at nine, please."


def samples(sentence: str) -> "np.typing.NDArray[np.int16]":
    return np.frombuffer(speech(sentence, RATE), np.int16)


def test_sentences_are_told_apart() -> None:
    pause = np.zeros(RATE // 5, np.int16)
    heard = listen(np.concatenate([samples(QUESTION), pause, samples(ANSWER)]), RATE)
    assert [it.chord for it in heard] == [chord_of(QUESTION), chord_of(ANSWER)]
    for it, sentence in zip(heard, (QUESTION, ANSWER), strict=True):
        assert it.end - it.start == pytest.approx(length(sentence), abs=0.05)


def test_a_gap_that_is_filled_with_another_sound_does_not_divide_a_sentence() -> None:
    said = samples(QUESTION).copy()
    middle = len(said) // 2
    said[middle : middle + RATE // 20] = samples(ANSWER)[RATE // 20 : RATE // 10]
    (heard,) = listen(said, RATE)
    assert heard.chord == chord_of(QUESTION)
    assert heard.end - heard.start == pytest.approx(length(QUESTION), abs=0.05)
