"""A world in which everything goes wrong, and what must be true of the gateways all the same.

`dice` and `script` settle beforehand what happens in a call; `plan` how many there are, and when
Redis or a gateway is away. `jambonz`, `n8n`, `ops`, `callees`, `agents` are the people and the
services, `legs`, `rooms`, `livekit` where they meet, `mail` what befalls what they post, `audience`
who hears callbacks. `processes` and `world` run it all, `outcome` looks at what is left, `checks`
says what of that is wrong, `report` tells it. A run is repeated by its seed: CHAOS_SEED.
"""
