"""Thousands of simulated calls while requests are lost and processes die, and checks of the result.

`scenario` draws what happens in a call, `run_settings` how many calls there are and when Redis is
stopped or a gateway killed. `jambonz`, `n8n`, `api_client`, `agents` and `callees` simulate the
parties, `legs`, `rooms` and `livekit` what connects them; all of them share a `simulated_call`.
`network` sends their requests with faults, `callback_receiver` receives callbacks. `processes` and
`simulation` run it all. `outcome` collects what is left, `checks` compare it with what must be
true, `report` describes what is not. CHAOS_SEED repeats a run.
"""
