// Dispatch: the gateway calls a number and has an agent talk to the callee.
import { randomUUID } from 'node:crypto';

import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';
import { NodeOperationError, sleep } from 'n8n-workflow';

import type { Action } from './action';
import type { GatewayRequest } from '../shared/gateway';
import { refused, send } from '../shared/gateway';
import { fromColumns, parsed, withoutEmpty } from './fields';

/** In ms: longer than an agent takes to be ready, and the callee's telephone rings (`wait: answer`). */
const TIMEOUT = 150_000;

/** A call for the item. Throws a NodeApiError with the gateway's refusal. */
export const dispatch: Action = async (context, itemIndex) => [
	await sendDispatch(context, itemIndex, requestOf(context, itemIndex)),
];

/** The body of `POST /dispatch` for the item, with its `idempotency_key`. */
export function requestOf(context: IExecuteFunctions, itemIndex: number): IDataObject {
	const isAutomatic = context.getNodeParameter('dataToSend', itemIndex) === 'autoMapInputData';
	try {
		const columns = isAutomatic ? fromColumns(context.getInputData()[itemIndex].json) : {};
		return {
			idempotency_key: keyOf(context, itemIndex),
			...filledIn(context, itemIndex),
			...columns,
		};
	} catch (error) {
		throw new NodeOperationError(context.getNode(), error as Error, { itemIndex });
	}
}

/**
 * The response of the gateway to a dispatch, and the call's key. Where it says when to try again
 * (429, 503), or the network fails, that is done with the same key, for as long as "Retry For" says.
 * Throws a NodeApiError.
 */
export async function sendDispatch(
	context: IExecuteFunctions,
	itemIndex: number,
	body: IDataObject,
): Promise<IDataObject> {
	const retryFor = context.getNodeParameter('retryFor', itemIndex, 0) as number;
	const giveUpAt = Date.now() + retryFor * 1000;
	const request: GatewayRequest = { method: 'POST', path: '/dispatch', body, timeout: TIMEOUT };
	const { idempotency_key } = body;
	for (;;) {
		const response = await send(context, itemIndex, request);
		if ('body' in response) return { ...response.body, idempotency_key };
		const pause = (response.refusal.retry_after ?? Infinity) * 1000;
		if (Date.now() + pause > giveUpAt) {
			throw refused(context, itemIndex, { ...response.refusal, idempotency_key });
		}
		await sleep(pause);
	}
}

function filledIn(context: IExecuteFunctions, itemIndex: number): IDataObject {
	const given = (name: string) => context.getNodeParameter(name, itemIndex, {}) as IDataObject;
	const { values = [] } = given('metadata') as { values?: Array<{ name: string; value: unknown }> };
	const metadata = Object.fromEntries(values.map(({ name, value }) => [name, value]));
	return withoutEmpty(
		parsed({
			destination: context.getNodeParameter('destination', itemIndex, '') as string,
			account_code: context.getNodeParameter('account_code', itemIndex, '') as string,
			metadata: withoutEmpty(metadata as IDataObject),
			...given('additionalFields'),
		}),
	);
}

/**
 * The same whenever n8n tries this item of this execution again, and no other item's: a loop counts
 * its runs, another n8n at the same gateway has another instance id. A tool of an MCP Server Trigger
 * runs in no execution: each of its calls has a key of its own.
 */
function keyOf(context: IExecuteFunctions, itemIndex: number): string {
	const run = context.evaluateExpression('{{ $runIndex }}', itemIndex);
	const instance = context.getInstanceId().slice(0, 12);
	// n8n's type says that there always is one.
	const execution = (context.getExecutionId() as string | undefined) ?? randomUUID();
	return [instance, execution, context.getNode().id, run, itemIndex].join('-');
}
