"""Thousands of simulated calls while requests are lost and processes die, and checks of the result.

`scenario` draws what happens in a call, `run_settings` how many calls there are and when which
disturbance begins, such as a gateway that is killed; `disturbances` causes them. `jambonz`, `n8n`,
`api_client`, `agents` and `callees` simulate the parties, `legs`, `rooms` and `livekit` what
connects them; all of them share a `simulated_call`. `network` sends their requests with faults,
`callback_receiver` receives callbacks. `processes` and `simulation` run it all, gateways as a
`gateway_process` on a `machine`. `outcome` collects what is left, `checks` compare it with what
must be true, `report` describes what is not. CHAOS_SEED repeats a run.
"""
