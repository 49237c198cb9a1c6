"""What a model server hears: a real recognizer for the few sentences of a test, or a script."""

import io
import multiprocessing
import re
import wave
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from livekit import rtc

#: Makes the words of a WAV file. It blocks, and is not called from two threads at once.
Recognize = Callable[[bytes], str]

#: In Hz: what the acoustic model was trained with.
RATE = 16_000
#: Silence before and after what is recognized, in s: without it the last word is lost.
MARGIN = 0.3
#: How likely words are that follow each other in none of the sentences.
BACKOFF = 0.005

#: In a process of `sphinx_process` its recognizer.
_own: list[Recognize] = []


def sphinx(sentences: Iterable[str]) -> Recognize:
    """pocketsphinx with its model of American English, which hears nothing but these words.

    A language model of so few sentences is what makes it sure (and quick) with a telephone's
    audio; it may still mistake one word for another, and hears "" in noise.

    Raises ImportError without pocketsphinx, ValueError for words that its dictionary lacks.
    """
    from pocketsphinx import Decoder, get_model_path  # noqa: PLC0415 - a test's dependency
    from pocketsphinx.lm import ArpaBoLM  # noqa: PLC0415

    corpus = [_words(sentence) for sentence in sentences]
    text = "\n".join(f"<s> {' '.join(words)} </s>" for words in corpus if words)
    model = ArpaBoLM(text=text, discount_mass=BACKOFF)
    model.compute()
    dictionary = Path(get_model_path("en-us/cmudict-en-us.dict"))
    with TemporaryDirectory() as folder:
        lm, own = Path(folder, "lm"), Path(folder, "dict")
        model.write_file(str(lm))
        own.write_text(_entries(dictionary, {word for words in corpus for word in words}))
        # Each recording by itself: what one is heard as does not depend on the one before it.
        decoder = Decoder(lm=str(lm), dict=str(own), cmn="batch", loglevel="FATAL")

    def recognize(recording: bytes) -> str:
        decoder.start_utt()
        decoder.process_raw(_samples(recording), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    return recognize


@contextmanager
def sphinx_process(sentences: Iterable[str]) -> Iterator[Recognize]:
    """`sphinx` in a process of its own: it holds Python's lock, and callers here would stutter."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _prepare, (list(sentences),)) as pool:
        pool.submit(len, _own).result()  # the process starts with its first work
        yield lambda recording: pool.submit(_recognize_here, recording).result()


def _prepare(sentences: list[str]) -> None:
    _own.append(sphinx(sentences))


def _recognize_here(recording: bytes) -> str:
    return _own[0](recording)


def in_order(sentences: Iterable[str]) -> Recognize:
    """Hears the next one of these sentences each time, whatever was said; "" after the last."""
    remaining = iter(sentences)
    return lambda _: next(remaining, "")


def _words(sentence: str) -> list[str]:
    return re.findall(r"[a-z']+", sentence.lower())


def _entries(dictionary: Path, words: set[str]) -> str:
    """The entries of these words: loading all 134,000 takes seconds."""
    entries = [
        line
        for line in dictionary.read_text().splitlines()
        if line.partition(" ")[0].partition("(")[0] in words
    ]
    if unknown := words - {line.partition(" ")[0] for line in entries}:
        raise ValueError(f"the recognizer's dictionary lacks {', '.join(sorted(unknown))}")
    return "\n".join(entries) + "\n"


def _samples(recording: bytes) -> bytes:
    """The samples of a 16-bit mono WAV file at RATE, with MARGIN around them."""
    with wave.open(io.BytesIO(recording)) as file:
        rate = file.getframerate()
        content = file.readframes(file.getnframes())
    margin = bytes(2 * round(MARGIN * rate))
    content = margin + content + margin
    resampler = rtc.AudioResampler(rate, RATE)
    frames = resampler.push(rtc.AudioFrame(content, rate, 1, len(content) // 2))
    return b"".join(frame.data.tobytes() for frame in [*frames, *resampler.flush()])
