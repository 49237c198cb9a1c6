// Get, Get Many, Hang Up and Transfer: what they ask the gateway, and what they return.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { contextOf, execute } from './context.mjs';
import { serve } from './gateway.mjs';
import gateway from '../dist/nodes/JambonzLivekitGateway/JambonzLivekitGateway.node.js';

const CALL = [200, { call_id: 'outbound-1', call_status: 'ended' }];

const asked = ({ method, path, body }) => [method, path, body];

test('get, hang up and transfer name the call in the path', async (t) => {
	const { url, requests } = await serve(t, CALL);
	const call_id = ' outbound/1 ';
	for (const operation of ['get', 'hangUp'])
		await execute({ url, parameters: { operation, call_id } });
	const target = { operation: 'transfer', call_id, target: 'sip:desk@example.com' };
	await execute({ url, parameters: target });
	await execute({ url, parameters: { ...target, kind: 'announced', summary: 'About a bill' } });
	const [{ json }] = await execute({ url, parameters: { operation: 'transfer', call_id } });
	const path = '/livekit-api/calls/outbound%2F1';
	assert.deepEqual(requests.map(asked), [
		['GET', path, ''],
		['POST', `${path}/hangup`, ''],
		['POST', `${path}/transfer`, { target: 'sip:desk@example.com', kind: 'cold' }],
		[
			'POST',
			`${path}/transfer`,
			{ target: 'sip:desk@example.com', kind: 'announced', summary: 'About a bill' },
		],
		['POST', `${path}/transfer`, { kind: 'cold' }],
	]);
	assert.deepEqual(json, CALL[1]);
});

test('an empty call_id is an error, and no request', async (t) => {
	const { url, requests } = await serve(t, CALL);
	for (const operation of ['get', 'hangUp', 'transfer']) {
		const parameters = { operation, call_id: ' ' };
		await assert.rejects(execute({ url, parameters }), /call_id: is empty/);
	}
	assert.equal(requests.length, 0);
});

test('get many follows the pages and ends at its limit', async (t) => {
	const page = (...ids) => ids.map((call_id) => ({ call_id }));
	const pages = [
		[200, { calls: page('c4', 'c3'), next_cursor: 'after c3', is_complete: true }],
		[200, { calls: page('c2', 'c1'), next_cursor: null, is_complete: true }],
	];
	const { url, requests } = await serve(t, ...pages, ...pages);
	const all = await execute({ url, parameters: { operation: 'getMany', returnAll: true } });
	assert.deepEqual(
		all.map(({ json }) => json.call_id),
		['c4', 'c3', 'c2', 'c1'],
	);
	const two = await execute({ url, parameters: { operation: 'getMany', limit: 2 } });
	assert.equal(two.length, 2);
	assert.deepEqual(
		requests.map(({ query: { limit, cursor } }) => [limit, cursor]),
		[
			['200', ''],
			['200', 'after c3'],
			['2', ''],
		],
	);
});

test('filters that are empty are left out, a time is in the zone of the workflow', async (t) => {
	const { url, requests } = await serve(t, [200, { calls: [], next_cursor: null }]);
	const filters = {
		status: 'ended',
		to_number: '+15550100',
		account_code: '',
		idempotency_key: 'ticket-7',
		since: '2026-01-31T12:00:00',
		until: '2026-01-31T12:00:00Z',
	};
	const parameters = { operation: 'getMany', includeEnded: false, filters };
	assert.deepEqual(await execute({ url, parameters }), []);
	const { limit: _, cursor: __, ...query } = requests[0].query;
	assert.deepEqual(query, {
		status: 'ended',
		to_number: '+15550100',
		idempotency_key: 'ticket-7',
		since: String(Date.UTC(2026, 0, 31, 11)),
		until: String(Date.UTC(2026, 0, 31, 12)),
	});
	const wrong = { operation: 'getMany', filters: { since: 'yesterday' } };
	await assert.rejects(execute({ url, parameters: wrong }), /since: must be a time such as/);
});

test('a list that may not be whole says so', async (t) => {
	const { url } = await serve(t, [200, { calls: [], next_cursor: null, is_complete: false }]);
	const context = contextOf({ url, parameters: { operation: 'getMany' } });
	await new gateway.JambonzLivekitGateway().execute.call(context);
	assert.match(context.hints[0].message, /calls may be missing/);
});
