// The bare handler in Express, with LiveKit's server SDK for Node.

import { randomUUID } from "node:crypto";
import express from "express";
import { RoomAgentDispatch, RoomServiceClient } from "livekit-server-sdk";

const { LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, PORT } = process.env;
const rooms = new RoomServiceClient(LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET);
const app = express();

app.use(express.json());

app.post("/livekit-api", async (request, response) => {
  const hook = request.body;
  const name = `call-${randomUUID()}`;
  const metadata = JSON.stringify({ caller_number: hook.from, destination: hook.to });
  const agents = [new RoomAgentDispatch({ agentName: "bench", metadata })];
  await rooms.createRoom({ name, metadata, agents, emptyTimeout: 10 });
  const sipUri = `sip:${name}@127.0.0.1`;
  response.json([{ verb: "dial", target: [{ type: "sip", sipUri }] }]);
});

app.get("/readyz", (request, response) => response.end());

app.listen(Number(PORT), "127.0.0.1");
