"""What the scripted models of `bench` say."""

from gateway.tools.simulate.model_script import Script

GREETING = "Hello, this is the clinic, how can I help you today?"
#: Long enough to be interrupted.
ANSWER = "We are open from Monday to Friday, from eight in the morning."
SCRIPT = Script(otherwise=ANSWER)
