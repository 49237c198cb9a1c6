// The trigger: only the gateway's events, only those that are wanted, each once.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import events from '../dist/nodes/shared/events.js';
import signature from '../dist/nodes/shared/signature.js';
import trigger from '../dist/nodes/JambonzLivekitGatewayTrigger/JambonzLivekitGatewayTrigger.node.js';
import { SECRET, signed } from './signed.mjs';

const BUSY = {
	event: 'call_ended',
	event_id: 'evt_1',
	call: { direction: 'outbound', disconnection_reason: 'dial_busy' },
};

/** What the trigger does with a request: the status, its response, and what starts the workflow. */
async function receive(
	request,
	{ parameters = {}, secret = SECRET, mode = 'webhook', ...given } = {},
) {
	let status = 200;
	const response = { status: (code) => ((status = code), { json: () => response }) };
	const { stored = {}, node = 'c0ffee' } = given;
	const result = await new trigger.JambonzLivekitGatewayTrigger().webhook.call({
		getRequestObject: () => request,
		getResponseObject: () => response,
		getBodyData: () => JSON.parse(request.rawBody),
		getCredentials: async () => ({ callbackSecret: secret }),
		getNodeParameter: (name, fallback) => parameters[name] ?? fallback,
		getNode: () => ({ id: node, name: 'Call Events' }),
		getWorkflow: () => ({ id: 'w' }),
		getWorkflowStaticData: () => stored,
		getMode: () => mode,
		helpers: { returnJsonArray: (json) => [{ json }] },
	});
	return { status, answer: result.webhookResponse?.status, items: result.workflowData?.[0] };
}

const event = (fields = {}) => signed(JSON.stringify({ ...BUSY, ...fields }));

test('an event starts the workflow with what the gateway sent', async () => {
	const { status, items } = await receive(event(), { node: 'one' });
	assert.equal(status, 200);
	assert.deepEqual(items, [{ json: BUSY }]);
});

test('what the gateway has not signed is refused', async () => {
	const changed = { ...event(), rawBody: Buffer.from(JSON.stringify({ ...BUSY, event: 'x' })) };
	const other = `whsec_${Buffer.from('another secret').toString('base64')}`;
	const old = signed(JSON.stringify(BUSY), { at: Date.now() - 301_000 });
	const unsigned = { headers: {}, rawBody: Buffer.from(JSON.stringify(BUSY)) };
	for (const request of [changed, old, unsigned, signed(JSON.stringify(BUSY), { secret: other })]) {
		assert.equal((await receive(request, { node: 'two' })).status, 401);
	}
});

test('one of several signatures is enough: secrets are changed one after the other', () => {
	const request = event();
	request.headers['webhook-signature'] = `v1,AAAA v1a,x ${request.headers['webhook-signature']}`;
	assert.equal(signature.isSigned(request, SECRET, Date.now()), true);
});

test('without a secret nothing is let through', async () => {
	await assert.rejects(receive(event(), { secret: '' }), /Callback Secret/);
});

test('what is signed but no event is refused', async () => {
	assert.equal((await receive(signed('{"event": "call_ended"}'))).status, 422);
});

test('a repeated event does not start the workflow, also after a restart', async () => {
	const stored = {};
	assert.equal((await receive(event(), { node: 'three', stored })).answer, 'accepted');
	const repeated = await receive(event(), { node: 'three', stored });
	assert.deepEqual([repeated.answer, repeated.items], ['repeated', undefined]);
	// Another node's ids are not in memory yet: as after a restart.
	assert.equal((await receive(event(), { node: 'four', stored })).answer, 'repeated');
});

test('many events a second are stored together, none is forgotten', async (t) => {
	t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
	const stored = {};
	let writes = 0;
	const counted = new Proxy(stored, { set: (...args) => ++writes && Reflect.set(...args) });
	const send = async (number, options) =>
		(await receive(event({ event_id: `evt_many_${number}` }), { stored: counted, ...options }))
			.answer;
	for (let number = 0; number < 50; number++) {
		await send(number, { node: 'five' });
		t.mock.timers.tick(20);
	}
	assert.equal(writes, 5);
	await send(50, { node: 'five' });
	for (let number = 0; number <= 50; number++) {
		assert.equal(await send(number, { node: 'six' }), 'repeated');
	}
});

test('in the editor an event can be tried out again', async () => {
	for (const _ of [1, 2]) {
		assert.ok((await receive(event(), { node: 'seven', mode: 'manual' })).items);
	}
});

test('what is not wanted does not start the workflow', async () => {
	const none = { events: [], directions: [], reasons: [] };
	const passes = (filter) => events.passes(BUSY, { ...none, ...filter });
	assert.ok(passes({}));
	assert.ok(passes({ events: ['call_ended'], directions: ['outbound'], reasons: ['dial_busy'] }));
	assert.ok(!passes({ events: ['call_started'] }));
	assert.ok(!passes({ directions: ['inbound'] }));
	assert.ok(!passes({ reasons: ['dial_no_answer'] }));
	const started = { ...BUSY, call: { direction: 'outbound', disconnection_reason: null } };
	assert.ok(!events.passes(started, { ...none, reasons: ['dial_busy'] }));
	const { answer } = await receive(event(), { parameters: { events: ['call_started'] } });
	assert.equal(answer, 'filtered');
});

test('the ids of the last 2,000 events are remembered in 18 KB', () => {
	const ids = new events.SeenIds('');
	for (let number = 0; number < 5000; number++) assert.ok(ids.add(`evt_${number}`));
	assert.equal(String(ids).length, 18_000);
	const restored = new events.SeenIds(String(ids));
	assert.equal(restored.add('evt_3000'), false);
	assert.equal(restored.add('evt_2999'), true);
});
