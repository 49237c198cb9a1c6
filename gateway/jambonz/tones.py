"""Ringing tones: what callers hear while Jambonz dials for them. Pure.

Jambonz answers with early media (183 with SDP) at once and plays nothing by itself, so without such
a tone a caller hears silence (jambonz-feature-server 0.9.8, `dialMusic`).
"""

#: Cadences and frequencies by country (ITU-T E.180), in the syntax of FreeSWITCH's tone_stream:
#: ms on, ms off, Hz.
_TONES_BY_COUNTRIES = {
    "au": "%(400,200,383,417);%(400,2000,383,417)",
    "gb ie nz uk": "%(400,200,400,450);%(400,2000,400,450)",
    "ca us": "%(2000,4000,440,480)",
    "br ch cz de dk fi gr it lu mx nl pl": "%(1000,4000,425)",
    "at pt se": "%(1000,5000,425)",
    "be": "%(1000,3000,425)",
    "es": "%(1500,3000,425)",
    "fr": "%(1500,3500,440)",
    "hk": "%(400,200,440,480);%(400,3000,440,480)",
    "in": "%(400,200,425,375);%(400,2000,425,375)",
    "jp": "%(1000,2000,420,380)",
    "sg": "%(400,200,425);%(400,2000,425)",
}
_TONES = {
    country: tone
    for countries, tone in _TONES_BY_COUNTRIES.items()
    for country in countries.split()
}
COUNTRIES = tuple(sorted(_TONES))
NONE = "none"
_PLAYABLE = ("tone_stream://", "http://", "https://")
_FORMS = (
    f"must be a country ({', '.join(COUNTRIES)}), {NONE}, tone_stream://… or a recording's "
    "https://…"
)


def ringing_tone(setting: str) -> str:
    """What `dialMusic` plays for a country's code, a URL or "none", which is "".

    Raises ValueError, which says what is possible.
    """
    if setting == NONE:
        return ""
    if setting.startswith(_PLAYABLE):
        return setting
    if setting.lower() in _TONES:
        return f"tone_stream://{_TONES[setting.lower()]};loops=-1"
    raise ValueError(_FORMS)
