// Dispatch: what it sends for each item, and what it returns.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { execute } from './context.mjs';
import { serve } from './gateway.mjs';

const ANSWER = [200, { call_id: 'outbound-1', call_status: 'ringing' }];
const BUSY = [
	502,
	{
		error: 'livekit_refused',
		message: '486 Busy Here',
		call_id: 'outbound-2',
		sip: { status_code: '486', status: 'Busy Here' },
	},
];
const INVALID = [
	422,
	{
		error: 'invalid',
		message: 'cannot use: destination, session_options',
		details: {
			destination: ['Not a destination: it has letters.'],
			session_options: { tts: { speed: ['Must be a number.'] } },
		},
	},
];
const FULL = [429, { error: 'too_many_calls', message: 'full' }, { 'Retry-After': '1' }];

const GOES_ON = 'continueRegularOutput';

const DISPATCH = { operation: 'dispatch' };
const ONE = { ...DISPATCH, destination: '+15550100', account_code: 'em-tech-01' };
const ROWS = { ...DISPATCH, dataToSend: 'autoMapInputData', account_code: 'em-tech-01' };

test('every field is sent as it was filled in, and no other', async (t) => {
	const { url, requests } = await serve(t, ANSWER);
	const additional = {
		transfer_target: '+15550101',
		caller_id: 'support-desk',
		caller_number: '+15550199',
		caller_name: 'Zoë',
		agent_name: 'other',
		session_options: '{"language": "pl"}',
		max_call_duration: 600,
		ringing_timeout: 40,
		record_call: true,
		wait: 'none',
		callback_url: 'https://n8n.example.com/webhook/calls',
		callback_events: ['call_ended'],
		idempotency_key: 'ticket-7',
	};
	const metadata = {
		values: [
			{ name: 'ticket', value: 'Łódź' },
			{ name: 'note', value: '' },
		],
	};
	await execute({
		url,
		apiKey: 'secret',
		parameters: { ...ONE, metadata, additionalFields: additional },
	});
	assert.equal(requests[0].path, '/dispatch');
	assert.equal(requests[0].headers['x-api-key'], 'secret');
	assert.deepEqual(requests[0].body, {
		destination: '+15550100',
		account_code: 'em-tech-01',
		metadata: { ticket: 'Łódź' },
		...additional,
		session_options: { language: 'pl' },
	});
});

test('empty fields are left out', async (t) => {
	const { url, requests } = await serve(t, ANSWER);
	const additionalFields = {
		caller_name: '',
		caller_number: ' ',
		session_options: '{}',
		callback_events: [],
	};
	await execute({ url, parameters: { ...ONE, additionalFields } });
	const { idempotency_key, ...rest } = requests[0].body;
	assert.ok(idempotency_key);
	assert.deepEqual(rest, { destination: '+15550100', account_code: 'em-tech-01' });
});

test('a row is a call, keeps its columns and is named by its result', async (t) => {
	const { url, requests } = await serve(t, ANSWER);
	const items = [
		{ row_number: 2, destination: '+15550100', caller_name: '' },
		{ row_number: 3, destination: '+15550101', account_code: 'other' },
	];
	const results = await execute({ url, items, parameters: ROWS });
	assert.deepEqual(
		requests.map(({ body: { idempotency_key: _, ...rest } }) => rest),
		[
			{ destination: '+15550100', account_code: 'em-tech-01', metadata: { row_number: 2 } },
			{ destination: '+15550101', account_code: 'other', metadata: { row_number: 3 } },
		],
	);
	assert.deepEqual(
		results.map(({ json, pairedItem }) => [json.row_number, json.call_id, pairedItem.item]),
		[
			[2, 'outbound-1', 0],
			[3, 'outbound-1', 1],
		],
	);
	const alone = await execute({ url, items, parameters: { ...ROWS, includeInputFields: false } });
	assert.equal(alone[0].json.row_number, undefined);
});

test('the key is of one item of one run of one execution of one n8n', async (t) => {
	const { url, requests } = await serve(t, ANSWER);
	const items = [{ destination: 1 }, { destination: 2 }];
	const runs = [{}, { id: '232' }, { run: 1 }, { instance: 'another' }];
	for (const execution of [...runs, {}]) await execute({ url, items, parameters: ROWS, execution });
	const keys = requests.map(({ body }) => body.idempotency_key);
	assert.equal(new Set(keys).size, 2 * runs.length);
	assert.deepEqual(keys.slice(-2), keys.slice(0, 2));
});

test('without an execution, as behind an MCP Server Trigger, each has its own key', async (t) => {
	const { url, requests } = await serve(t, ANSWER);
	const setup = {
		url,
		items: [{ destination: 1 }],
		parameters: ROWS,
		execution: { id: undefined },
	};
	for (let count = 0; count < 2; count += 1) await execute(setup);
	const [first, second] = requests.map(({ body }) => body.idempotency_key);
	assert.notEqual(first, second);
});

test('a refusal is the item, with status, call_id and the fields that are wrong', async (t) => {
	const { url } = await serve(t, ANSWER, BUSY, INVALID);
	const items = [2, 3, 4].map((row_number) => ({ row_number, destination: '+15550100' }));
	const results = await execute({ url, items, parameters: ROWS, onError: GOES_ON });
	const [good, busy, invalid] = results.map(({ json }) => json);
	assert.equal(good.call_id, 'outbound-1');
	assert.deepEqual(
		[busy.row_number, busy.status, busy.error, busy.message, busy.call_id, busy.sip.status_code],
		[3, 502, 'livekit_refused', '486 Busy Here', 'outbound-2', '486'],
	);
	assert.deepEqual([invalid.status, invalid.details], [422, INVALID[1].details]);
	assert.ok(busy.idempotency_key);
	assert.deepEqual(
		results.map(({ pairedItem }) => pairedItem.item),
		[0, 1, 2],
	);
});

test('a refusal ends an execution that does not go on, and names the item', async (t) => {
	const { url, requests } = await serve(t, ANSWER, BUSY, ANSWER);
	const items = [{ destination: 1 }, { destination: 2 }, { destination: 3 }];
	await assert.rejects(execute({ url, items, parameters: ROWS }), (error) => {
		assert.equal(error.name, 'NodeApiError');
		assert.equal(error.message, '486 Busy Here');
		assert.equal(error.httpCode, '502');
		assert.equal(error.context.itemIndex, 1);
		return true;
	});
	assert.equal(requests.length, 2);
});

test('an error says in words which fields are wrong', async (t) => {
	const { url } = await serve(t, INVALID);
	await assert.rejects(execute({ url, parameters: ONE }), {
		message:
			'destination: Not a destination: it has letters.; session_options: tts: speed: Must be a number.',
	});
});

test('the error output gets the refusal alone, for n8n adds the row', async (t) => {
	const { url } = await serve(t, BUSY);
	const items = [{ row_number: 2, destination: '+15550100' }];
	const [{ json }] = await execute({
		url,
		items,
		parameters: ROWS,
		onError: 'continueErrorOutput',
	});
	assert.deepEqual(Object.keys(json), ['error']);
	assert.deepEqual([json.error.status, json.error.call_id], [502, 'outbound-2']);
});

test('Retry-After is obeyed with the same key', async (t) => {
	const { url, requests } = await serve(t, FULL, ANSWER);
	const began = Date.now();
	const [{ json }] = await execute({ url, parameters: ONE });
	assert.equal(json.call_id, 'outbound-1');
	assert.ok(Date.now() - began >= 990);
	assert.deepEqual(requests[0].body, requests[1].body);
});

test('a Retry-After beyond the limit is the refusal, at once', async (t) => {
	const { url, requests } = await serve(t, FULL);
	const parameters = { ...ONE, retryFor: 0.5 };
	const [{ json }] = await execute({ url, parameters, onError: GOES_ON });
	assert.deepEqual([json.status, json.error, json.retry_after], [429, 'too_many_calls', 1]);
	assert.equal(requests.length, 1);
});

test('no gateway, and one that is away, are errors that say so', async (t) => {
	const page = await serve(t, [200, '<html>']);
	const moved = await serve(t, [301, '', { Location: 'https://gateway.example.com/' }]);
	const parameters = { ...ONE, retryFor: 0 };
	const failed = async (url) => {
		const [{ json }] = await execute({ url, parameters, onError: GOES_ON });
		return [json.status, json.error, json.message];
	};
	assert.deepEqual(await failed(page.url), [
		200,
		'not_a_gateway',
		'There is no gateway at this URL: correct it in the credentials',
	]);
	assert.match((await failed(moved.url))[2], /a redirect to https:\/\/gateway\.example\.com\//);
	const [status, error, message] = await failed('http://127.0.0.1:9');
	assert.deepEqual([status, error], [0, 'unreachable']);
	assert.match(message, /^The gateway does not answer: /);
});

test('what is no JSON object is an error of its item, before anything is sent', async (t) => {
	const { url, requests } = await serve(t, ANSWER);
	const items = [{ destination: 1, session_options: '{' }, { destination: 2 }];
	const [bad, good] = await execute({ url, items, parameters: ROWS, onError: GOES_ON });
	assert.equal(bad.json.error, 'invalid');
	assert.match(bad.json.message, /^session_options: must be a JSON object/);
	assert.equal(good.json.call_id, 'outbound-1');
	assert.equal(requests.length, 1);
});
