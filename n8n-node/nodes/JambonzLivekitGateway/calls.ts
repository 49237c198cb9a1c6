// What is done with calls that there are: get, get many, hang up, transfer.
import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';
import { NodeOperationError, tryToParseDateTime } from 'n8n-workflow';

import { ask } from '../shared/gateway';
import type { Action } from './action';
import { withoutEmpty } from './fields';

const CALLS = '/livekit-api/calls';
/** The most calls that the gateway has on a page. */
const PAGE = 200;

export const get: Action = async (context, itemIndex) => [
	await ask(context, itemIndex, { method: 'GET', path: pathOf(context, itemIndex) }),
];

export const hangUp: Action = async (context, itemIndex) => [
	await ask(context, itemIndex, { method: 'POST', path: `${pathOf(context, itemIndex)}/hangup` }),
];

export const transfer: Action = async (context, itemIndex) => {
	const given = (name: string) => context.getNodeParameter(name, itemIndex, '') as string;
	const body = withoutEmpty({
		target: given('target'),
		kind: given('kind'),
		summary: given('summary'),
	});
	const path = `${pathOf(context, itemIndex)}/transfer`;
	return [await ask(context, itemIndex, { method: 'POST', path, body })];
};

/** An item for each call, newest first: all that the filters let through, or the first `limit`. */
export const getMany: Action = async (context, itemIndex) => {
	const isAll = context.getNodeParameter('returnAll', itemIndex) as boolean;
	const limit = isAll ? Infinity : (context.getNodeParameter('limit', itemIndex) as number);
	const filters = filtersOf(context, itemIndex);
	const calls: IDataObject[] = [];
	let cursor: unknown = '';
	while (cursor !== null && calls.length < limit) {
		const query = {
			...filters,
			limit: Math.min(limit - calls.length, PAGE),
			cursor,
		} as IDataObject;
		const page = await ask(context, itemIndex, { method: 'GET', path: CALLS, query });
		calls.push(...(page.calls as IDataObject[]));
		cursor = page.next_cursor;
		if (page.is_complete === false) hintAtMissing(context);
	}
	return calls;
};

function filtersOf(context: IExecuteFunctions, itemIndex: number): IDataObject {
	const filters = context.getNodeParameter('filters', itemIndex, {}) as IDataObject;
	const includeEnded = context.getNodeParameter('includeEnded', itemIndex) as boolean;
	const given = withoutEmpty({ ...filters, include: includeEnded ? 'ended' : '' });
	for (const field of ['since', 'until'].filter((name) => name in given)) {
		given[field] = millisOf(context, itemIndex, field, given[field]);
	}
	return given;
}

/** A time in ms since epoch; one without a zone is in the workflow's, as everywhere in n8n. */
function millisOf(
	context: IExecuteFunctions,
	itemIndex: number,
	field: string,
	value: unknown,
): number {
	try {
		return tryToParseDateTime(value, context.getTimezone()).toMillis();
	} catch (error) {
		const message = `${field}: must be a time such as 2026-01-31T12:00:00`;
		throw new NodeOperationError(context.getNode(), error as Error, { message, itemIndex });
	}
}

function hintAtMissing(context: IExecuteFunctions): void {
	context.addExecutionHints({
		message: "The gateway's history does not answer: calls may be missing",
		type: 'warning',
		location: 'outputPane',
	});
}

function pathOf(context: IExecuteFunctions, itemIndex: number): string {
	const callId = String(context.getNodeParameter('call_id', itemIndex) ?? '').trim();
	if (callId) return `${CALLS}/${encodeURIComponent(callId)}`;
	throw new NodeOperationError(context.getNode(), 'call_id: is empty', {
		description: 'Give the ID of a call: Dispatch returns it as call_id',
		itemIndex,
	});
}
