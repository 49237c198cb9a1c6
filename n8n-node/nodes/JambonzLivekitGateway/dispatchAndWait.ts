// Dispatch and Wait: calls for all items at once; the node goes on when all of them have ended.
import type {
	IDataObject,
	IExecuteFunctions,
	INodeExecutionData,
	IWebhookDescription,
	IWebhookFunctions,
	IWebhookResponseData,
} from 'n8n-workflow';
import { NodeOperationError, sleep } from 'n8n-workflow';

import type { Context, GatewayRequest, Refusal } from '../shared/gateway';
import { ask, CREDENTIALS, failure, refused, send } from '../shared/gateway';
import { isSigned } from '../shared/signature';
import { requestOf } from './dispatch';
import type { Call, Row } from './rows';
import {
	isOpen,
	isSameDestination,
	isUndispatched,
	known,
	queriesFor,
	update,
	withOutcomes,
} from './rows';
import type { Wait } from './wait';
import { mayResume, runIndexOf, sleepUntil, storedWait, waitOf } from './wait';

/** The resume URL of an execution that waits; n8n registers none. */
export const CALLBACKS: IWebhookDescription[] = [
	{
		name: 'default',
		httpMethod: 'POST',
		responseMode: 'onReceived',
		responseData: '', // what the method below returns
		path: '',
		restartWebhook: true,
	},
];

/** How many dispatches are under way at once: the gateway allows 10 a second. */
const AT_ONCE = 5;
/** In ms: longer than an agent takes to be ready. */
const TIMEOUT = 60_000;
/** In ms: the gateway may store ended calls for an hour only, and a callback may not get through. */
const CHECK_INTERVAL = 600_000;
/** In ms: n8n looks once a minute for executions that are to go on. */
const LATER = 60_000;
/** In ms: another execution's call is dialed once its agent is ready. */
const SOON = 1_000;
/** In ms: shorter pauses are not worth a wait of the execution. */
const SHORT = 10_000;

/** The items with their outcomes, or the input when the execution is put to wait. */
export async function dispatchAndWait(context: IExecuteFunctions): Promise<INodeExecutionData[]> {
	const wait = storedWait(context) ?? newWait(context);
	const pause = await dispatchRows(context, wait);
	await lookUp(context, wait.rows).catch((error: Error) =>
		context.logger.warn(`The gateway does not say how the calls went: ${error.message}`),
	);
	const now = Date.now();
	if (now >= wait.limit || !wait.rows.some(isOpen)) {
		return withOutcomes(context.getInputData(), wait);
	}
	const interval = wait.rows.some((row) => row.isShared && isOpen(row)) ? LATER : CHECK_INTERVAL;
	await sleepUntil(context, wait, Math.min(wait.limit, now + (pause || interval)));
	return context.getInputData();
}

/** Takes a callback of one of the calls: the execution goes on once the last one has ended. */
export async function onCallback(context: IWebhookFunctions): Promise<IWebhookResponseData> {
	try {
		const { callbackSecret } = await context.getCredentials<{ callbackSecret: string }>(
			CREDENTIALS,
		);
		if (callbackSecret && !isSigned(context.getRequestObject(), callbackSecret, Date.now())) {
			return respond(context, 401, { error: 'bad_signature' });
		}
		const wait = waitOf(context);
		if (!wait.rows.some(isUndispatched)) await lookUp(context, wait.rows);
		const open = wait.rows.filter(isOpen).length;
		if (open > 0 || !mayResume(context, wait, Date.now())) return { webhookResponse: { open } };
		const items = context.evaluateExpression(
			'{{ $input.all() }}',
		) as unknown as INodeExecutionData[];
		return { workflowData: [withOutcomes(items, wait)], webhookResponse: { open } };
	} catch (error) {
		// An error would end the execution; the gateway repeats a callback that was not accepted.
		context.logger.warn(`A callback was not accepted: ${(error as Error).message}`);
		return respond(context, 503, { error: 'not_accepted' });
	}
}

function respond(
	context: IWebhookFunctions,
	status: number,
	body: IDataObject,
): IWebhookResponseData {
	context.getResponseObject().status(status).json(body);
	return { noWebhookResponse: true };
}

function newWait(context: IExecuteFunctions): Wait {
	if (context.getNode().type.endsWith('Tool')) {
		throw new NodeOperationError(context.getNode(), 'A tool cannot wait for the end of a call', {
			description: 'Use Dispatch, and Get for how the call went',
		});
	}
	const minutes = context.getNodeParameter('timeLimit', 0) as number;
	const limit = Date.now() + minutes * 60_000;
	const rows = context.getInputData().map(() => ({ key: '' }));
	const includesInput = context.getNodeParameter('includeInputFields', 0) as boolean;
	return { runIndex: runIndexOf(context), rows, includesInput, limit, wakesAt: limit };
}

/** Dispatches what is not yet; returns in how many ms to go on with the rest, 0 if there is none. */
async function dispatchRows(context: IExecuteFunctions, wait: Wait): Promise<number> {
	for (;;) {
		const isLate = Date.now() >= wait.limit || context.getExecutionCancelSignal()?.aborted;
		const left = isLate
			? []
			: [...wait.rows.keys()].filter((row) => isUndispatched(wait.rows[row]));
		if (left.length === 0) return 0;
		const pauses = await Promise.all(
			left.slice(0, AT_ONCE).map(async (row) => await dispatchRow(context, wait.rows, row)),
		);
		const pause = Math.max(...pauses);
		if (pause > SHORT) return pause;
		await sleep(pause);
	}
}

/** Returns in how many ms to try again, 0 if the row has a call or will have none. */
async function dispatchRow(
	context: IExecuteFunctions,
	rows: Row[],
	itemIndex: number,
): Promise<number> {
	const row = rows[itemIndex];
	try {
		const body = callOf(context, itemIndex);
		row.key = String(body.idempotency_key);
		const request: GatewayRequest = { method: 'POST', path: '/dispatch', body, timeout: TIMEOUT };
		const response = await send(context, itemIndex, request);
		if ('refusal' in response) return await share(context, itemIndex, row, body, response.refusal);
		row.call = known(response.body as unknown as Call);
		return 0;
	} catch (error) {
		return afterFailure(context, rows, itemIndex, error as Error);
	}
}

/**
 * As dispatchRow, for a refusal: another execution's call to the same destination, with the item's
 * key, is the row's too. Until that is dialed its key may become free again. Throws what is refused.
 */
async function share(
	context: IExecuteFunctions,
	itemIndex: number,
	row: Row,
	body: IDataObject,
	refusal: Refusal,
): Promise<number> {
	const failed = refused(context, itemIndex, refusal);
	if (refusal.error !== 'idempotency_key_reused') throw failed;
	const [query] = queriesFor([row]);
	const page = await ask(context, itemIndex, {
		method: 'GET',
		path: `/livekit-api/calls?${query}`,
	});
	const [call] = page.calls as Array<IDataObject & Call>;
	if (!call && !row.refusal) {
		// It may be about to be stored, or its key free by now.
		row.refusal = { message: failed.message };
		return SOON;
	}
	if (!call || !isSameDestination(call.to_number, body.destination)) throw failed;
	if (call.call_status === 'registered') return SOON;
	row.call = known(call);
	row.isShared = true;
	return 0;
}

/** As Dispatch has it, but for what this operation needs. */
function callOf(context: IExecuteFunctions, itemIndex: number): IDataObject {
	return {
		...requestOf(context, itemIndex),
		wait: 'none',
		callback_url: context.evaluateExpression('{{ $execution.resumeUrl }}', itemIndex),
		callback_events: ['call_ended'],
	};
}

/** As dispatchRow. Throws what every item would meet, such as a wrong key, before there is a call. */
function afterFailure(
	context: IExecuteFunctions,
	rows: Row[],
	itemIndex: number,
	error: Error,
): number {
	const failed = failure(context, itemIndex, error);
	const refusal = failed.context.data as Refusal | undefined;
	const row = rows[itemIndex];
	row.refusal = { message: failed.message, call_id: refusal?.call_id };
	const isFirst = !context.continueOnFail() && !rows.some(({ call }) => call);
	if (refusal && !concernsOneCall(refusal) && isFirst && !isBusy(refusal)) throw failed;
	if (refusal?.error === 'too_many_requests') return (refusal.retry_after ?? 1) * 1000;
	if (refusal?.retry_after) return Math.max(refusal.retry_after * 1000, LATER);
	row.isRefused = true;
	return 0;
}

/** Whether the gateway takes the call later. */
const isBusy = ({ status, retry_after }: Refusal) => status > 0 && retry_after !== undefined;

/** And not every call: n8n's own URL is the same in all. */
const concernsOneCall = ({ status, error, details }: Refusal) =>
	error === 'destination_not_allowed' ||
	([409, 422, 502, 504].includes(status) && !details?.callback_url);

/** Ask the gateway for the calls that may have ended since. */
async function lookUp(context: Context, rows: Row[]): Promise<void> {
	for (const query of queriesFor(rows.filter(isOpen))) {
		let cursor = '';
		do {
			const path = `/livekit-api/calls?${query}${cursor && `&cursor=${cursor}`}`;
			const page = await ask(context, 0, { method: 'GET', path });
			update(rows, page.calls as IDataObject[]);
			cursor = encodeURIComponent((page.next_cursor as string | null) ?? '');
		} while (cursor);
	}
}
