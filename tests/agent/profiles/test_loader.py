"""agents.yaml: what is usable, and a line for each problem of what is not."""

import wave
from pathlib import Path

import pytest
from livekit.agents import BuiltinAudioClip

from agent.profiles.checks import CLIPS, file_problems
from agent.profiles.loader import AgentsFileInvalid, parse_agents, read_text
from agent.profiles.profile import AgentsFile, HttpTool, Plugin, Profile

SECRET = "a-secret-of-the-environment"


def load(text: str, **env: str) -> AgentsFile:
    return parse_agents(text, env, [file_problems])


def problems_of(text: str, **env: str) -> list[str]:
    with pytest.raises(AgentsFileInvalid) as caught:
        load(text, **env)
    return caught.value.problems


def in_profile(line: str) -> str:
    return f"profiles:\n  default:\n    {line}\n"


def test_without_a_file_there_is_the_built_in_profile() -> None:
    assert parse_agents(read_text(None), {}) == AgentsFile(profiles={"default": Profile()})


@pytest.mark.parametrize("text", ["", "# nothing\n", "profiles:\n", "profiles: {}\n", "routes: []"])
def test_a_file_that_says_nothing_has_the_built_in_profile(text: str) -> None:
    assert load(text).profiles == {"default": Profile()}


def test_a_key_without_a_value_is_as_if_it_was_not_there() -> None:
    text = "profiles:\n  default:\n    greeting: Hi\n    silence:\n    tools:\n  other:\n"
    assert load(text).profiles == {"default": Profile(greeting="Hi")}


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(
        """\
profiles:
  default:
    instructions: You are the receptionist of {{clinic|the clinic}}.
    language: no
    stt: [{plugin: deepgram, model: nova-3, api_key: "${DEEPGRAM_KEY}"}, "openai/whisper"]
    variables: {phone: +61491570156, desk: 007, rooms: 3, price: 1.5, open: true, day: 2026-11-26}
    tools:
      - type: end_call
      - type: http
        name: book
        description: Books.
        url: https://n8n.example.com/webhook/book
        headers: {Authorization: "Bearer ${N8N_TOKEN}", X-Price: "$${5}"}
        timeout: 7
    record: {enabled: true, folder: "/recordings/{{call_id}}"}
routes:
  - {number: "+61 491 570 156", profile: default}
allowed_hosts: ["n8n:5678"]
"""
    )
    agents = parse_agents(read_text(path), {"DEEPGRAM_KEY": SECRET, "N8N_TOKEN": "t"})
    profile = agents.profiles["default"]
    assert profile.language == "no"
    assert isinstance(profile.stt, list)
    first, second = profile.stt
    assert isinstance(first, Plugin)
    assert first.model_extra == {"model": "nova-3", "api_key": SECRET}
    assert second == "openai/whisper"
    assert profile.variables == {
        "phone": "+61491570156",
        "desk": "007",
        "rooms": 3,
        "price": 1.5,
        "open": True,
        "day": "2026-11-26",
    }
    book = profile.tools[1]
    assert isinstance(book, HttpTool)
    assert book.headers == {"Authorization": "Bearer t", "X-Price": "${5}"}
    assert book.timeout == 7
    assert agents.allowed_hosts == ["n8n:5678"]


BAD_FILES = {
    "a tab": ("profiles:\n\tdefault: {}\n", ["line 2: a tab; YAML indents with spaces only"]),
    "no YAML": ("profiles: [", ["line 1: not YAML: expected the node content, but found"]),
    "a list": ("- profiles\n", ["must be `key: value` lines, such as `profiles:`"]),
    "text": ("profiles", ["must be `key: value` lines, such as `profiles:`"]),
    "two documents": ("a: 1\n---\nb: 2\n", ["line 2: not YAML: but found another document"]),
    "an unknown anchor": ("profiles: *there\n", ["line 1: not YAML: found undefined alias"]),
    "a control character": ("profiles: \x00\n", ["not YAML: unacceptable character #x0000"]),
    "recursion": (
        "profiles: &all\n  default:\n    variables: *all\n",
        ["profiles.default.variables: line 1: an alias of what it is in, without an end"],
    ),
    "more than memory": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        ["too large: more than 20000 values"],
    ),
    "too deep": ("a: " + "[" * 40 + "]" * 40, ["too large: more than 20000 values, or 30 levels"]),
    "much too deep": ("a: " + "[" * 5000 + "]" * 5000, ["nested too deeply"]),
    "a merge key": (
        "profiles: {a: &a {}, default: {<<: *a}}",
        ["profiles.default.'<<': line 1: merge keys do not work; use `extends`"],
    ),
    "a tag": (
        in_profile("greeting: !!python/name:os.system ''"),
        ["profiles.default.greeting: line 3: tags such as"],
    ),
    "a list as a key": ("? [a]\n: 1\n", ["line 1: no key: a text that begins with"]),
    "a text without quotes": (
        in_profile("greeting: Hello: it is me"),
        ["line 3: not YAML: mapping values are not allowed here; a text with `: ` in it"],
    ),
    "a text that begins with a variable": (
        in_profile("greeting: {{name}}"),
        ["profiles.default.greeting: line 3: no key: a text that begins with { needs quotes"],
    ),
    "a question in a list": (
        in_profile("silence: {prompts: [Are you there?]}"),
        ["line 3: not YAML: expected ',' or ']', but got '?'; a text with"],
    ),
    "a key twice": (
        "profiles:\n  default: {greeting: a}\n  default: {greeting: b}\n",
        ["profiles.default: is there twice, in lines 2 and 3"],
    ),
    "a key twice in a tool": (
        in_profile("tools: [{type: end_call, type: transfer}]"),
        ["profiles.default.tools[0].type: is there twice, in lines 3 and 3"],
    ),
    "a number of its own": (
        in_profile("variables: {a: !!int abc}"),
        ["profiles.default.variables.a: line 3: not a number"],
    ),
    "profiles in a list": (
        "profiles: [{greeting: Hi}]",
        ["profiles: must be `key: value` lines, each with a profile"],
    ),
    "an unknown section": ("rutes: []", ['rutes: unknown key; did you mean "routes"?']),
    "no hosts": (
        "allowed_hosts: [n8n, 'http://', 'a/b']",
        ["allowed_hosts[1]: must be such as n8n.example.com", "allowed_hosts[2]: must be such as"],
    ),
    "a name with spaces": (
        "profiles: {default: {}, my clinic: {}}",
        ["profiles.'my clinic': the name must be letters, digits, - and _, at most 64"],
    ),
}

BAD_LINES = {
    "silence: {aftr: 3}": ['silence.aftr: unknown key; did you mean "after"?'],
    "silence: {zzz: 3}": ["silence.zzz: unknown key; there are: after, prompts, goodbye"],
    "silence: [3]": ["silence: must be `key: value` lines"],
    "silence: null": ["silence: must be `key: value` lines"],
    "silence: {after: -1}": ["silence.after: must be at least 0"],
    "silence: {after: 601}": ["silence.after: must be at most 600"],
    "silence: {after: '3'}": ["silence.after: must be a number"],
    "silence: {prompts: Hello}": ["silence.prompts: must be a list"],
    "silence: {prompts: ['']}": ["silence.prompts[0]: must not be empty"],
    "greeting: 5": ["greeting: must be text: put it into quotes"],
    "greeting: true": ["greeting: must be text: put it into quotes"],
    "greeting: [a]": ["greeting: must be text"],
    "instructions: ''": ["instructions: must not be empty"],
    "ivr: yes": ["ivr: must be true or false"],
    "record: {keep_days: 1.5}": ["record.keep_days: must be a whole number"],
    "record: {enabled: true}": ["record: needs a folder or a url"],
    "voicemail: {action: hangup}": [
        "voicemail.action: must be one of: none, hang_up, leave_message"
    ],
    "voicemail: {action: leave_message}": [
        "voicemail.message: is missing, and action: leave_message needs it"
    ],
    "models: azure": ["models: must be one of: auto, openai, inference"],
    "stt: 3": ["stt: must be the name of a model, or `plugin: …` with its arguments, or a list"],
    "stt: ''": ["stt: must not be empty"],
    "stt: []": ["stt: must not be empty"],
    "stt: [a, 3]": ["stt[1]: must be the name of a model, or `plugin: …` with its arguments"],
    "stt: {modl: a}": ["stt.plugin: is missing"],
    "stt: [{plugin: Deep Gram}]": ["stt[0].plugin: must be the name of a livekit-agents plugin"],
    "realtime: [a]": ["realtime: must be the name of a model"],
    "{realtime: a/b, stt: c/d, tts: e/f}": [
        "stt: is not used beside realtime: leave one of them out, or set it to auto",
        "tts: is not used beside realtime: leave one of them out, or set it to auto",
    ],
    "variables: {a: [1]}": ["variables.a: must be text, a number, or true or false"],
    "variables: {a b: 1}": ["variables.'a b': the name must be letters, digits, - and _"],
    "greeting: 'Hi {{ $json.name }}'": ["greeting: {{ begins no variable: write {{name}}"],
    "silence: {prompts: ['Hi {{name']}": ["silence.prompts[0]: {{ begins no variable"],
    "turn_handling: {min_delay: 3}": ["turn_handling.max_delay: must be at least min_delay, 3"],
    "failure: {clip: no/such.wav}": ["failure.clip: cannot be played: No such file or directory"],
    "failure: {transfer: bob}": ["failure.transfer: must be a telephone number"],
    "background: {ambient: officee}": ["background.ambient: neither a file nor one of: city-"],
    "tools: {type: end_call}": ["tools: must be a list"],
    "tools: [end_call]": ["tools[0]: must be `key: value` lines"],
    "tools: [{name: a}]": ["tools[0].type: is missing; it is one of: http, mcp, python, end_call"],
    "tools: [{type: htp}]": ["tools[0].type: must be one of: http, mcp, python, end_call"],
    "tools: [{type: python, function: book}]": [
        "tools[0].function: must be of the form module:function"
    ],
    "tools: [{type: end_call}, {type: end_call}]": ["tools[1].type: is that of tools[0], too"],
    "tools: [{type: python, function: 'a:book'}, {type: python, function: 'b:c.book'}]": [
        "tools[1].function: is that of tools[0], too"
    ],
    "tools: [{type: transfer}]": ["transfer.targets: is empty, and the tool transfer needs one"],
    "transfer: {targets: {desk: the desk}}": ["transfer.targets.desk: must be a telephone number"],
    "transfer: {targets: {the desk: '100'}}": ["transfer.targets.'the desk': the name must be"],
    "lookup: {timeout: 1}": ["lookup.url: is missing"],
    "lookup: {url: ftp://example.com}": ["lookup.url: must be an absolute http(s) URL"],
    "lookup: {url: '{{base}}/lookup'}": ["lookup.url: must be an absolute http(s) URL"],
    'lookup: {url: "https://example.com", headers: {"A b": x}}': [
        "lookup.headers.'A b': is not a header of HTTP"
    ],
    'lookup: {url: "https://example.com", headers: {A: "x\\r\\nB: y"}}': [
        "lookup.headers.A: is not a header of HTTP"
    ],
    "record: {url: example.com}": ["record.url: must be an absolute http(s) URL"],
    "analysis: {custom_analysis_data: {type: array}}": [
        "analysis.custom_analysis_data.type: must be object"
    ],
    "extends: clinic": ["extends: there is no such profile; there are: default"],
    "extends: defalt": ['extends: there is no such profile; did you mean "default"?'],
    "greeting: '${NOPE}'": ["greeting: the environment variable NOPE is not set"],
    "greeting: '${EMPTY}'": ["greeting: the environment variable EMPTY is not set"],
    "greeting: '${no name}'": ["greeting: variables are written ${NAME}; a plain ${ is $${"],
    "greeting: '${NOPE'": ["greeting: variables are written ${NAME}"],
}

BAD_TOOLS = {
    "name: two words": ["name: must be letters, digits, - and _, at most 64"],
    "url: n8n.example.com/webhook": ["url: must be an absolute http(s) URL"],
    "url: https://user:word@example.com": ["url: must be an absolute http(s) URL"],
    "parameters: {properties: {}}": ["parameters.type: must be object"],
    "parameters: {type: object, properties: {day: {type: dat}}}": [
        "parameters.properties.day.type: is no JSON Schema"
    ],
    "parameters: {type: object, required: day}": ["parameters.required: is no JSON Schema"],
    "parameters: {type: object, $ref: 'https://example.com/s.json'}": [
        "parameters.'$ref': must be within the schema"
    ],
    "timeout: 0": ["timeout: must be at least 0.1"],
    "timout: 1": ['timout: unknown key; did you mean "timeout"?'],
}


def check(problems: list[str], expected: list[str], path: str = "") -> None:
    assert len(problems) == len(expected), problems
    for problem, beginning in zip(problems, expected, strict=True):
        assert problem.startswith(path + beginning)


@pytest.mark.parametrize(("text", "expected"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file(text: str, expected: list[str]) -> None:
    check(problems_of(text)[: len(expected)], expected)


@pytest.mark.parametrize(("line", "expected"), BAD_LINES.items())
def test_a_bad_line(line: str, expected: list[str]) -> None:
    check(problems_of(in_profile(line), EMPTY=""), expected, "profiles.default.")


@pytest.mark.parametrize(("line", "expected"), BAD_TOOLS.items())
def test_a_bad_http_tool(line: str, expected: list[str]) -> None:
    good = {"type": "http", "name": "a", "description": "b", "url": "https://example.com"}
    own, _, value = line.partition(": ")
    items = [f"{k}: {v}" for k, v in good.items() if k != own] + [f"{own}: {value}"]
    problems = problems_of(in_profile(f"tools: [{{{', '.join(items)}}}]"))
    check(problems, expected, "profiles.default.tools[0].")


def test_every_problem_is_told_at_once() -> None:
    text = """\
profiles:
  clinic:
    extends: b
    silence: {aftr: 3}
    greeting: "{{"
    record: {enabled: true}
    voicemail: {action: leave_message, timeout: 99}
  b: {stt: 3, language: "${NOPE}"}
routes:
  - {profile: clinik}
"""
    assert problems_of(text) == [
        "profiles.b.language: the environment variable NOPE is not set",
        'profiles.clinic.silence.aftr: unknown key; did you mean "after"?',
        "profiles.clinic.voicemail.timeout: must be at most 20",
        "profiles.b.stt: must be the name of a model, or `plugin: …` with its arguments, or a list"
        " of these",
        "profiles.clinic.greeting: {{ begins no variable: write {{name}} or {{name|default}}",
        "profiles.clinic.record: needs a folder or a url",
        'routes[0].profile: there is no such profile; did you mean "clinic"?',
    ]


def test_a_secret_is_in_no_problem() -> None:
    text = """\
profiles:
  default:
    language: ["${KEY}"]
    models: "${KEY}"
    stt: {plugin: "${KEY} ${KEY}"}
    tools: [{type: "${KEY}"}, {type: http, name: "${KEY}!", description: a, url: "${KEY}"}]
    record: {url: "ftp://${KEY}"}
    failure: {clip: "${KEY}"}
    background: {ambient: "${KEY}"}
    transfer: {targets: {a: "${KEY}"}}
    analysis: {custom_analysis_data: {type: "${KEY}"}}
    extends: "${KEY}"
routes: [{profile: "${KEY}"}]
"""
    problems = problems_of(text, KEY=SECRET)
    assert len(problems) >= 10
    assert not [it for it in problems if SECRET in it]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: {extends: a}", ["profiles.a: extends itself"]),
        (
            "{a: {extends: b}, b: {extends: a}}",
            ["profiles.a: extends itself by way of b"],
        ),
        (
            "{a: {extends: c}, b: {extends: a}, c: {extends: b}, d: {extends: b}}",
            ["profiles.a: extends itself by way of c, b"],
        ),
    ],
)
def test_profiles_that_extend_each_other(text: str, expected: list[str]) -> None:
    profiles = text if text.startswith("{") else f"{{{text}}}"
    assert problems_of(f"profiles: {profiles}\nroutes: [{{profile: a}}]") == expected


def test_a_profile_has_what_it_does_not_say_from_the_one_it_extends() -> None:
    profiles = load(
        """\
profiles:
  default:
    greeting: Hi
    silence: {after: 3, goodbye: Bye}
    variables: {a: 1, b: 2}
    tools: [{type: send_keys}]
    lookup: {url: "https://example.com/a", timeout: 1}
    stt: {plugin: deepgram, model: nova-3}
  clinic:
    extends: default
    silence: {after: 5}
    variables: {b: 3}
    stt: {plugin: openai}
  quiet:
    extends: clinic
    tools: []
    lookup: null
    greeting: ""
"""
    ).profiles
    clinic, quiet = profiles["clinic"], profiles["quiet"]
    assert clinic.greeting == "Hi"
    assert (clinic.silence.after, clinic.silence.goodbye) == (5, "Bye")
    assert clinic.variables == {"a": 1, "b": 3}
    assert clinic.lookup == profiles["default"].lookup
    assert isinstance(clinic.stt, Plugin)
    assert clinic.stt.model_extra == {}
    assert (quiet.greeting, quiet.tools, quiet.lookup) == ("", [], None)
    assert quiet.silence.after == 5


def test_a_section_that_is_wrong_hides_no_other_and_invents_none() -> None:
    text = """\
profiles:
  default:
    transfer: {targets: {desk: "100"}, kind: hot}
    tools: [{type: transfer}]
  other: {extends: default, ivr: 3}
"""
    assert problems_of(text) == [
        "profiles.default.transfer.kind: must be one of: cold, announced, warm",
        "profiles.other.ivr: must be true or false",
    ]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ("[{number: '1'}]", ["routes[0].profile: is missing"]),
        ("[{profile: default, numbr: '1'}]", ['routes[0].numbr: unknown key; did you mean "num']),
        ("[{profile: default, number: 1}]", ["routes[0].number: must be text: put it into quotes"]),
        ("[{profile: default, direction: in}]", ["routes[0].direction: must be one of: inbound"]),
        (
            "[{profile: default}, {profile: default, number: '1'}]",
            ["routes[1]: never matches: routes[0] takes all its calls"],
        ),
        (
            "[{profile: default, number: +61 (491) 570-156}, {profile: default, trunk: a}, "
            "{profile: default, number: '61491570156', direction: inbound}]",
            ["routes[2]: never matches: routes[0] takes all its calls"],
        ),
        ("{profile: default}", ["routes: must be a list"]),
    ],
)
def test_bad_routes(routes: str, expected: list[str]) -> None:
    check(problems_of(f"profiles: {{default: {{}}}}\nroutes: {routes}"), expected)


def test_calls_that_no_route_matches_need_a_profile() -> None:
    clinic = "profiles: {clinic: {}}\nroutes: "
    missing = "profiles.default: is missing: it gets the calls that no route matches"
    assert problems_of(clinic + "[{profile: clinic, number: '1'}]") == [missing]
    assert load(clinic + "[{profile: clinic}]").routes[0].profile == "clinic"


@pytest.mark.parametrize("name", ["book", "end_call", "send_dtmf_events"])
def test_no_two_tools_have_one_name(name: str) -> None:
    tool = f"{{type: http, name: {name}, description: A., url: 'https://example.com'}}"
    others = "{type: end_call}, {type: send_keys}, {type: python, function: 'a:book'}"
    server = f"{{type: mcp, name: {name}, url: 'https://example.com'}}"
    (problem,) = problems_of(in_profile(f"tools: [{others}, {server}, {tool}]"))
    assert problem.startswith("profiles.default.tools[4].name: is that of tools[")


PRIVATE = """\
profiles:
  default:
    tools:
      - {type: http, name: a, description: A., url: "http://10.0.0.1:5678/{{call_id}}"}
      - {type: mcp, name: b, url: "http://localhost/mcp"}
    lookup: {url: "http://[fd00::1]/"}
    record: {url: "http://192.168.0.1/{{call_id}}"}
"""


def test_private_addresses_are_allowed_by_name() -> None:
    paths = ["tools[0].url", "tools[1].url", "lookup.url", "record.url"]
    problems = problems_of(PRIVATE)
    assert [it.partition(": ")[0] for it in problems] == [f"profiles.default.{p}" for p in paths]
    assert all(it.endswith("private address: name it in allowed_hosts") for it in problems)
    allowed = "allowed_hosts: [10.0.0.0/8, localhost, 'fd00::/8', '192.168.0.1']\n"
    assert load(PRIVATE + allowed).allowed_hosts


def test_a_url_that_is_a_variable_is_checked_when_it_is_known() -> None:
    load(in_profile("record: {url: '{{recording_url}}'}"))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_clip_is_mono(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "clip.wav"
    with wave.open(str(path), "wb") as clip:
        clip.setnchannels(channels)
        clip.setsampwidth(2)
        clip.setframerate(16_000)
        clip.writeframes(bytes(640))
    text = in_profile(f"failure: {{clip: {path}}}")
    if channels == 1:
        assert load(text).profiles["default"].failure.clip == str(path)
    else:
        assert problems_of(text) == [
            "profiles.default.failure.clip: must be mono, with 16 bits",
        ]


def test_a_clip_that_is_no_wav(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    path.write_text("no sound")
    expected = "profiles.default.failure.clip: cannot be played: not a WAV file"
    assert problems_of(in_profile(f"failure: {{clip: {path}}}")) == [expected]


def test_the_clips_are_those_of_livekit_agents() -> None:
    assert sorted(CLIPS) == sorted(Path(it.value).stem for it in BuiltinAudioClip)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    with pytest.raises(AgentsFileInvalid, match="cannot be read: No such file or directory"):
        read_text(path)
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(AgentsFileInvalid, match="line 2: not UTF-8"):
        read_text(path)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(AgentsFileInvalid, match="is larger than"):
        read_text(path)
