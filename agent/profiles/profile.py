"""What a profile in agents.yaml may say, with every default. Pure.

The names are those of livekit-agents, or of Retell's agents where livekit-agents has none. Times
are in seconds.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)
from pydantic_core import PydanticCustomError

Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
#: A SIP URI, a telephone number, or a `{{variable}}` that becomes one.
Target = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _check_scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool):
        raise PydanticCustomError("scalar", "must be text, a number, or true or false")
    return value


#: What `{{variables}}` are by their names; None is as if it was not there.
Variables = dict[Name, Annotated[str | int | float | bool, BeforeValidator(_check_scalar)] | None]


class Section(BaseModel):
    """Unknown keys are mistakes; nothing is converted (a number is no text)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Plugin(Section):
    """A model of a livekit-agents plugin: all other keys are arguments of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    plugin: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]


def _form(value: object) -> str | None:
    """Which form of a model `value` has: a mistake in it is reported for that form alone."""
    forms = (str, "(text)"), (dict | Plugin, "(plugin)"), (list, "(list)")
    return next((form for kind, form in forms if isinstance(value, kind)), None)


_Named = Annotated[str, StringConstraints(min_length=1, max_length=256), Tag("(text)")]
#: "auto", a model of LiveKit Inference ("deepgram/nova-3:en"), or a plugin's.
Model = Annotated[_Named | Annotated[Plugin, Tag("(plugin)")], Discriminator(_form)]
#: One model, or several: the next one is used where the one before fails.
Models = Annotated[
    _Named
    | Annotated[Plugin, Tag("(plugin)")]
    | Annotated[list[Model], Field(min_length=1), Tag("(list)")],
    Discriminator(_form),
]


class TurnHandling(Section):
    """When the caller has finished, and what interrupts the agent.

    `detection`: `model` is livekit-agents' turn detector, which runs in the worker; `vad` ends a
    turn by silence alone. `min_silence` is the silence after which the voice detector takes speech
    for ended; less answers faster, and cuts off people who pause.
    """

    detection: Literal["model", "vad", "stt"] = "model"
    min_silence: Annotated[float, Field(ge=0.05, le=2)] = 0.25
    min_delay: Annotated[float, Field(ge=0, le=5)] = 0.3
    max_delay: Annotated[float, Field(ge=0.1, le=20)] = 2.5
    interruptions: bool = True
    min_interruption: Annotated[float, Field(ge=0.1, le=5)] = 0.5
    false_interruption_timeout: Annotated[float, Field(ge=0.1, le=10)] = 2.0


class Silence(Section):
    """What happens if nobody speaks: each prompt after `after`, then the call ends: `inactivity`.

    An empty list of prompts ends the call after the first `after`. `after: 0` waits for ever.
    """

    after: Annotated[float, Field(ge=0, le=600)] = 10.0
    prompts: list[Text] = ["Are you still there?", "Hello?"]
    goodbye: str = "I cannot hear you, so I will hang up now. Goodbye."


class Goodbye(Section):
    """Said `before` the call reaches its `max_call_duration`; 0 says nothing."""

    before: Annotated[float, Field(ge=0, le=600)] = 20.0
    text: str = "I am sorry, our time is up. Goodbye."


class Failure(Section):
    """What the caller hears and where they go if a model fails: never silence.

    `after`: how long after the caller's last word the agent counts as failed if it says nothing.
    Then the caller hears `wait_clip`, and the models are asked again. If they fail again, the
    caller hears `clip` and goes to `transfer`; without it the call ends. Clips are WAV files, mono,
    16 bits; the defaults are recorded sentences in English. `not_understood` is said if the caller
    spoke and no words were recognised.
    """

    after: Annotated[float, Field(ge=1, le=60)] = 5.0
    wait_clip: str = ""
    clip: str = ""
    transfer: Target | None = None
    not_understood: Text = "Sorry, I did not get that."


class Voicemail(Section):
    """What outbound calls do if a machine answers. `none` does not look, and speaks at once.

    `timeout`: how long the decision may take; without one the callee counts as a person.
    `screening`: what is said to a call screening service that asks who is calling.
    """

    action: Literal["none", "hang_up", "leave_message"] = "none"
    message: str = ""
    screening: str = ""
    timeout: Annotated[float, Field(ge=1, le=20)] = 20.0


class Transfer(Section):
    """People whom the agent may hand the caller to, by the names that the model uses.

    `kind`: `cold` sends the caller there (REFER); `announced` has Jambonz ask the target first, who
    hears a summary and presses 1; `warm` dials the target into the caller's room.
    """

    targets: dict[Name, Target] = {}
    kind: Literal["cold", "announced", "warm"] = "cold"
    text: str = "I will connect you now."


class Waits(Section):
    """A tool that takes time: after `filler_after` the caller hears `filler`, "" for nothing.

    After `timeout` the model is told that there was no answer.
    """

    timeout: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    filler: str = "One moment, please."
    filler_after: Annotated[float, Field(ge=0, le=60)] = 1.5


class HttpTool(Waits):
    """A tool that is an HTTP request (POST, arguments as JSON), such as to an n8n Webhook node."""

    type: Literal["http"]
    name: Name
    description: Text
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    headers: dict[str, str] = {}


class McpServer(Waits):
    """The tools of an MCP server, such as n8n's MCP Server Trigger."""

    type: Literal["mcp"]
    name: Name
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    transport: Literal["streamable_http", "sse"] = "streamable_http"
    headers: dict[str, str] = {}
    allowed_tools: list[str] | None = None


class PythonTool(Waits):
    """A function of the operator's own, decorated with livekit-agents' `function_tool`."""

    type: Literal["python"]
    function: Annotated[str, StringConstraints(pattern=r"^[\w.]+:[\w.]+$")]
    timeout: Annotated[float, Field(ge=0.1, le=60)] = 30.0


class BuiltInTool(Section):
    """`end_call`, `transfer` (to transfer.targets) or `send_keys` (DTMF)."""

    type: Literal["end_call", "transfer", "send_keys"]


Tool = Annotated[HttpTool | McpServer | PythonTool | BuiltInTool, Field(discriminator="type")]


class Lookup(Section):
    """Asked before an inbound call is greeted: POST to `url`, which may answer with options.

    Its answer is `{"profile": …, "variables": {…}, "session_options": {…}}`; without one in time
    the call goes on without.
    """

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    headers: dict[str, str] = {}
    timeout: Annotated[float, Field(ge=0.1, le=10)] = 2.0


class Recording(Section):
    """Records both voices (stereo Opus: caller left, agent right), if `enabled` or `record_call`.

    `announce` is said first, and only what comes after it is recorded. `folder` is where the files
    go, `url` where each is PUT; `{{call_id}}` may be in both. `keep_days` deletes from the folder.
    """

    enabled: bool = False
    announce: str = ""
    folder: str = ""
    url: str = ""
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30


class Analysis(Section):
    """After the call one request to the LLM, for `call_analysis` in the report.

    `custom_analysis_data` is the JSON Schema (an object's) of what else is to be found out.
    """

    enabled: bool = False
    custom_analysis_data: dict[str, Any] = {}


class Background(Section):
    """Sounds: a clip of livekit-agents (office-ambience, keyboard-typing, …) or a file."""

    ambient: str = ""
    thinking: str = ""
    volume: Annotated[float, Field(ge=0, le=1)] = 0.5


class Profile(Section):
    """One agent, as configured. `extends` names a profile whose values hold where this has none.

    `greeting` is said as it is; without one the model greets. `models` chooses what is "auto":
    plugin openai where OPENAI_API_KEY is set, else LiveKit Inference. `realtime` is one
    speech-to-speech model in place of `stt`, `llm` and `tts`. `voice` is the TTS' or the realtime
    model's.
    """

    extends: Name | None = None
    instructions: Text = (
        "You are a friendly assistant on the telephone. Answer in one or two short sentences, "
        "in plain words, without lists or symbols. Say numbers as people say them."
    )
    greeting: str = "Hello, how can I help you?"
    language: str = "en"
    models: Literal["auto", "openai", "inference"] = "auto"
    stt: Models = "auto"
    llm: Models = "auto"
    tts: Models = "auto"
    realtime: Model | None = None
    voice: str = ""
    variables: Variables = {}
    turn_handling: TurnHandling = TurnHandling()
    silence: Silence = Silence()
    goodbye: Goodbye = Goodbye()
    failure: Failure = Failure()
    voicemail: Voicemail = Voicemail()
    transfer: Transfer = Transfer()
    tools: list[Tool] = [BuiltInTool(type="end_call")]
    lookup: Lookup | None = None
    ivr: bool = False
    record: Recording = Recording()
    analysis: Analysis = Analysis()
    keyterms: list[str] = []
    pronounce: dict[str, str] = {}
    background: Background = Background()


class Route(Section):
    """Calls that match all that is named get `profile`; without conditions: all other calls.

    `number` is the called one, compared by its digits. `trunk` is the Jambonz carrier that the
    call came by; LiveKit's trunk id (ST_…) where no gateway brought the call.
    """

    profile: Name
    number: str | None = None
    account_code: str | None = None
    trunk: str | None = None
    direction: Literal["inbound", "outbound"] | None = None


class AgentsFile(Section):
    """A whole agents.yaml. The first route that matches counts; none: the profile `default`.

    `allowed_hosts` are where tools and lookups may go besides public addresses, written as in the
    gateway's `callbacks.allowed_hosts`.
    """

    profiles: dict[Name, Profile] = {"default": Profile()}
    routes: list[Route] = []
    allowed_hosts: list[str] = []
