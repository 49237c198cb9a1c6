// Dispatch and Wait: every outcome arrives at its item, once, whatever happens meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { Execution, Gateway, resumeUrl } from './execution.mjs';
import { SECRET, signed } from './signed.mjs';

const ROWS = ['+15550100', '+15550101', '+15550102'].map((destination, row_number) => ({
	destination,
	row_number,
}));
const KEYED = { ...ROWS[0], idempotency_key: 'k' };
const MINUTE = 60_000;

let ids = 1000;
const started = (gateway, rows = ROWS, options = {}) =>
	new Execution(gateway, rows, { id: String(ids++), ...options });

const outcomes = (items) => items.map(({ row_number, outcome }) => [row_number, outcome]);

test('all items are dispatched at once, and the last end brings all outcomes in their order', async () => {
	const gateway = new Gateway();
	const execution = started(gateway);
	assert.equal(await execution.execute(), undefined);
	const bodies = gateway.requests.filter(({ method }) => method === 'POST').map(({ body }) => body);
	assert.deepEqual(
		bodies.map(({ callback_url, callback_events, wait }) => [callback_url, callback_events, wait]),
		ROWS.map(() => [resumeUrl(execution.id), ['call_ended'], 'none']),
	);
	gateway.end('+15550102', {
		disconnection_reason: 'dial_busy',
		sip: { status: 486, reason: 'Busy Here' },
	});
	assert.deepEqual(await execution.callBack(), {
		status: 200,
		body: { open: 2 },
		items: undefined,
	});
	gateway.end('+15550100', { call_status: 'ended', duration_ms: 4000 });
	gateway.end('+15550101', { disconnection_reason: 'dial_no_answer' });
	const { items } = await execution.callBack();
	assert.deepEqual(outcomes(items), [
		[0, 'answered'],
		[1, 'no answer'],
		[2, 'busy'],
	]);
	assert.deepEqual(items[2], {
		...ROWS[2],
		outcome: 'busy',
		call_id: 'outbound-2',
		call_status: 'not_connected',
		disconnection_reason: 'dial_busy',
		duration_ms: null,
		sip_status: 486,
		message: 'Busy Here',
	});
});

test('two callbacks that come together resume the execution once', async () => {
	const gateway = new Gateway();
	const execution = started(gateway, ROWS.slice(0, 1));
	await execution.execute();
	gateway.end('+15550100', { call_status: 'ended' });
	const both = await Promise.all([execution.callBack(), execution.callBack()]);
	assert.deepEqual(
		both.map(({ status }) => status),
		[200, 200],
	);
	assert.equal(both.filter(({ items }) => items).length, 1);
});

test('calls that have ended before n8n waits need no callback', async () => {
	const gateway = new Gateway();
	const execution = started(gateway, [KEYED]);
	const callback_url = resumeUrl(execution.id);
	gateway.dispatch({ idempotency_key: 'k', destination: '+15550100', callback_url });
	gateway.end('+15550100', { disconnection_reason: 'user_declined' });
	const items = await execution.execute();
	assert.deepEqual(outcomes(items), [[0, 'declined']]);
});

test('where no callback comes the gateway is asked by the clock, and the stored execution runs again', async () => {
	const gateway = new Gateway();
	const execution = started(gateway);
	await execution.execute();
	assert.ok(execution.waitTill - Date.now() <= 10 * MINUTE);
	assert.equal(execution.stored.waitTill, ''); // else n8n would not execute the node again
	for (const { destination } of ROWS) gateway.end(destination, { call_status: 'ended' });
	const items = await execution.execute();
	assert.deepEqual(outcomes(items), [
		[0, 'answered'],
		[1, 'answered'],
		[2, 'answered'],
	]);
	assert.equal(gateway.calls.size, 3);
});

test('close to the clock a callback leaves the execution to it', async (t) => {
	const gateway = new Gateway();
	const execution = started(gateway, ROWS.slice(0, 1));
	await execution.execute();
	gateway.end('+15550100', { call_status: 'ended' });
	t.mock.timers.enable({ apis: ['Date'], now: execution.waitTill - MINUTE });
	assert.equal((await execution.callBack()).items, undefined);
	assert.deepEqual(outcomes(await execution.execute()), [[0, 'answered']]);
});

test('at the time limit the others have their outcomes', async (t) => {
	const gateway = new Gateway();
	const execution = started(gateway);
	await execution.execute();
	gateway.end('+15550101', { disconnection_reason: 'invalid_destination' });
	t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 61 * MINUTE });
	const items = await execution.execute();
	assert.deepEqual(outcomes(items), [
		[0, 'time limit'],
		[1, 'failed'],
		[2, 'time limit'],
	]);
	assert.equal(items[0].call_id, 'outbound-0');
});

test('a bad number is the outcome of its row', async () => {
	const gateway = new Gateway();
	const details = { destination: ['Not a destination.'] };
	gateway.refusals['+15550101'] = [[422, { error: 'invalid', message: 'invalid', details }]];
	const execution = started(gateway);
	await execution.execute();
	gateway.end('+15550100', { call_status: 'ended' });
	gateway.end('+15550102', { call_status: 'ended' });
	const { items } = await execution.callBack();
	assert.deepEqual(outcomes(items), [
		[0, 'answered'],
		[1, 'not dispatched'],
		[2, 'answered'],
	]);
	assert.match(items[1].message, /destination: Not a destination/);
});

test('the call of two executions with one key is the outcome of both', async () => {
	const gateway = new Gateway();
	await started(gateway, [KEYED]).execute();
	const second = started(gateway, [{ ...KEYED, destination: '15550100' }, ROWS[1]]);
	assert.equal(await second.execute(), undefined);
	// Nobody calls back: the call's callback goes to the first.
	assert.ok(second.waitTill - Date.now() <= MINUTE);
	gateway.end('+15550100', { call_status: 'ended' });
	gateway.end('+15550101', { disconnection_reason: 'dial_busy' });
	const items = await second.execute();
	assert.deepEqual(outcomes(items), [
		[0, 'answered'],
		[1, 'busy'],
	]);
	assert.equal(items[0].call_id, 'outbound-0');
	assert.equal(gateway.calls.size, 2);
});

test("another execution's call that has ended is the outcome at once", async () => {
	const gateway = new Gateway();
	await started(gateway, [KEYED]).execute();
	gateway.end('+15550100', { disconnection_reason: 'dial_no_answer' });
	assert.deepEqual(outcomes(await started(gateway, [KEYED]).execute()), [[0, 'no answer']]);
});

test('a key that was used for another destination is refused', async () => {
	const gateway = new Gateway();
	await started(gateway, [KEYED]).execute();
	for (const destination of ['+15550101', 'sip:15550100@pbx.example.com']) {
		const [item] = await started(gateway, [{ ...KEYED, destination }]).execute();
		assert.equal(item.outcome, 'not dispatched');
		assert.match(item.message, /used with another body/);
	}
});

test('a SIP URI is the same destination in any case of its host', async () => {
	const gateway = new Gateway();
	await started(gateway, [{ ...KEYED, destination: 'sip:desk@pbx.example.com' }]).execute();
	gateway.end('sip:desk@pbx.example.com', { call_status: 'ended' });
	const [same] = await started(gateway, [
		{ ...KEYED, destination: 'SIP:desk@PBX.example.com' },
	]).execute();
	assert.equal(same.outcome, 'answered');
	const [other] = await started(gateway, [
		{ ...KEYED, destination: 'sip:Desk@pbx.example.com' },
	]).execute();
	assert.equal(other.outcome, 'not dispatched');
});

test('a key whose call has been forgotten is refused', async () => {
	const gateway = new Gateway();
	const reused = [409, { error: 'idempotency_key_reused', message: 'used with another body' }];
	gateway.refusals['+15550100'] = [reused, reused];
	const [item] = await started(gateway, [KEYED]).execute();
	assert.deepEqual([item.outcome, item.message], ['not dispatched', 'used with another body']);
	// Unless the key is free again by then.
	gateway.refusals['+15550100'] = [reused];
	assert.equal(await started(gateway, [KEYED]).execute(), undefined);
	assert.ok(gateway.calls.has('k'));
});

test("what becomes of another execution's dispatch is waited for", async () => {
	for (const isDialed of [true, false]) {
		const gateway = new Gateway();
		await started(gateway, [KEYED]).execute();
		const call = gateway.calls.get('k');
		call.call_status = 'registered';
		const second = started(gateway, [KEYED]);
		gateway.requests = [];
		const executed = second.execute();
		while (!gateway.requests.some(({ method }) => method === 'GET')) await setImmediate();
		if (isDialed) call.call_status = 'ended';
		// Without an agent nobody is called, and the key is free again.
		else gateway.calls.delete('k');
		const items = await executed;
		if (isDialed) assert.deepEqual(outcomes(items), [[0, 'answered']]);
		else assert.equal(gateway.calls.get('k').callback_url, resumeUrl(second.id));
	}
});

test('what the gateway has no room for is dispatched later, with the same key', async () => {
	const gateway = new Gateway();
	const full = [429, { error: 'too_many_calls', message: 'full' }, { 'retry-after': '5' }];
	gateway.refusals['+15550102'] = [full];
	const execution = started(gateway);
	await execution.execute();
	assert.ok(execution.waitTill - Date.now() <= MINUTE);
	assert.equal((await execution.callBack()).status, 200);
	assert.equal(await execution.execute(), undefined);
	const keys = gateway.requests.filter(({ body }) => body?.destination === '+15550102');
	assert.equal(new Set(keys.map(({ body }) => body.idempotency_key)).size, 1);
	assert.equal(gateway.calls.size, 3);
});

test('more than the dispatches of a second wait for their turn', async () => {
	const gateway = new Gateway();
	const fast = [429, { error: 'too_many_requests', message: 'fast' }, { 'retry-after': '0.01' }];
	gateway.refusals['+15550100'] = [fast, fast];
	await started(gateway).execute();
	assert.equal(gateway.calls.size, 3);
});

test('what every item would meet fails the node before anybody is called', async () => {
	const unauthorized = [401, { error: 'unauthorized', message: 'The key is wrong' }];
	const details = { callback_url: ['Its host is private.'] };
	const unreachable = [422, { error: 'invalid', message: 'invalid', details }];
	for (const refusal of [unauthorized, unreachable]) {
		const gateway = new Gateway();
		for (const { destination } of ROWS) gateway.refusals[destination] = [refusal];
		await assert.rejects(started(gateway).execute(), /The key is wrong|callback_url/);
	}
});

test('with "continue on fail" it is the outcome of each row', async () => {
	const gateway = new Gateway();
	for (const { destination } of ROWS) {
		gateway.refusals[destination] = [[401, { error: 'unauthorized', message: 'The key is wrong' }]];
	}
	const items = await started(gateway, ROWS, { continueOnFail: true }).execute();
	assert.deepEqual(
		items.map(({ message }) => message),
		ROWS.map(() => 'The key is wrong'),
	);
});

test('a callback is not accepted while the gateway does not answer, and repeated later', async () => {
	const gateway = new Gateway();
	const execution = started(gateway, ROWS.slice(0, 1));
	await execution.execute();
	gateway.end('+15550100', { call_status: 'ended' });
	gateway.isDown = true;
	assert.equal((await execution.callBack()).status, 503);
	gateway.isDown = false;
	assert.deepEqual(outcomes((await execution.callBack()).items), [[0, 'answered']]);
});

test('a callback must be signed where the credentials have the secret', async () => {
	const gateway = new Gateway();
	const execution = started(gateway, ROWS, { secret: SECRET });
	await execution.execute();
	assert.equal((await execution.callBack()).status, 401);
	assert.equal((await execution.callBack(signed('{}'))).status, 200);
});

test('in a loop each run has its own calls', async () => {
	const gateway = new Gateway();
	const execution = started(gateway, ROWS.slice(0, 1));
	await execution.execute();
	gateway.end('+15550100', { call_status: 'ended' });
	assert.ok((await execution.callBack()).items);
	assert.equal(await execution.execute(), undefined);
	assert.equal(gateway.calls.size, 2);
});

test('a long list is asked for in parts', async () => {
	const gateway = new Gateway();
	const rows = [...Array(230).keys()].map((row_number) => ({
		destination: `+1555010${row_number}`,
		row_number,
	}));
	const execution = started(gateway, rows);
	await execution.execute();
	const lookUps = gateway.requests.filter(
		({ method, url }) => method === 'GET' && !url.includes('cursor='),
	);
	const sizes = lookUps.map(
		({ url }) => new URL(url).searchParams.getAll('idempotency_key').length,
	);
	assert.equal(
		sizes.reduce((sum, size) => sum + size),
		230,
	);
	assert.ok(Math.max(...sizes) <= 100);
	assert.ok(Math.max(...lookUps.map(({ url }) => url.length)) < 7000);
	for (const { destination } of rows) gateway.end(destination, { call_status: 'ended' });
	const { items } = await execution.callBack();
	assert.ok(items.every(({ outcome }) => outcome === 'answered'));
});
