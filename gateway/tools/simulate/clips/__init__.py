"""Recordings of what a caller says, at a telephone's 8 kHz, and the words of each."""

from pathlib import Path

#: The words of each clip by its name. A cough has none.
WORDS = {
    "book": "I would like to book an appointment.",
    "tomorrow": "Tomorrow at nine, please.",
    "yes": "Yes, please.",
    "no": "No, thank you.",
    "name": "My name is Anna Miller.",
    "hours": "What are your opening hours?",
    "person": "I want to talk to a person.",
    "question": "Sorry, I have a question.",
    "goodbye": "Thank you, goodbye.",
    "cough": "",
    # What answers an outbound call: a person, a machine, a service that screens calls.
    "who": "Hello, who is calling?",
    "voicemail": "I am not at home, please leave a message.",
    "screening": "Please state your name and the reason for calling.",
}


def clip(name: str) -> Path:
    """The WAV file of one of WORDS."""
    return Path(__file__).with_name(f"{name}.wav")
