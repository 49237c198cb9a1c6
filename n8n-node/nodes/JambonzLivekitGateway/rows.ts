// What "Dispatch and Wait" knows of the call of each of its items, and the outcome it reports. Pure.
import type { IDataObject, INodeExecutionData } from 'n8n-workflow';

import type { Refusal } from '../shared/gateway';

/** An item's call. A row with neither a call nor a final refusal is yet to be dispatched. */
export interface Row {
	/** The idempotency key of its dispatch. */
	key: string;
	/** What the gateway last said of the call. */
	call?: Call;
	/** Why the last dispatch failed. */
	refusal?: Pick<Refusal, 'message' | 'call_id'>;
	/** Whether another dispatch would fail too. */
	isRefused?: boolean;
	/** Whether another execution has dispatched the call, and gets its callback. */
	isShared?: boolean;
}

export interface Call {
	call_id: string;
	call_status: string;
	disconnection_reason?: string | null;
	duration_ms?: number | null;
	sip?: { status?: number; reason?: string } | null;
}

const MAX_KEYS = 100;
const MAX_LENGTH = 6000;
const ENDS = ['ended', 'not_connected', 'error'];
/** The outcomes of calls without a conversation; all others have failed. */
const OUTCOMES: Record<string, string> = {
	dial_busy: 'busy',
	dial_no_answer: 'no answer',
	user_declined: 'declined',
};

export const isUndispatched = (row: Row) => !row.call && !row.isRefused;

/** Whether its outcome is yet to come. */
export const isOpen = (row: Row) => !row.isRefused && !hasEnded(row);

const hasEnded = ({ call }: Row) => call !== undefined && ENDS.includes(call.call_status);

/** Numbers are the same with and without `+` and `tel:`, SIP URIs in any case of the host. */
export const isSameDestination = (one: unknown, other: unknown) =>
	comparable(String(one)) === comparable(String(other));

function comparable(destination: string): string {
	const [user, host] = destination
		.trim()
		.replace(/^(tel|sip):/i, '')
		.split('@');
	return host ? `${user}@${host.toLowerCase()}` : user.replace(/[+\s]/g, '');
}

/**
 * The query strings that ask `GET /livekit-api/calls` for the rows' calls: it takes 100 keys at once
 * and a request line of 8 KiB.
 */
export function queriesFor(rows: Row[]): string[] {
	const queries: string[][] = [];
	for (const { key } of rows.filter((row) => row.key)) {
		const parameter = `idempotency_key=${encodeURIComponent(key)}`;
		const last = queries.at(-1) ?? [];
		const fits = last.length < MAX_KEYS && last.join('&').length + parameter.length < MAX_LENGTH;
		if (queries.length > 0 && fits) last.push(parameter);
		else queries.push([parameter]);
	}
	return queries.map((keys) => [`limit=${MAX_KEYS}`, ...keys].join('&'));
}

/** Take what the list of calls says of the rows, which it names by their idempotency keys. */
export function update(rows: Row[], listed: IDataObject[]): void {
	const calls = new Map(listed.map((call) => [call.idempotency_key, call]));
	for (const row of rows) {
		const call = calls.get(row.key) as (IDataObject & Call) | undefined;
		if (call) row.call = known(call);
	}
}

/** The fields of a call that are stored while n8n waits. */
export const known = (call: Call): Call => ({
	call_id: call.call_id,
	call_status: call.call_status,
	disconnection_reason: call.disconnection_reason,
	duration_ms: call.duration_ms,
	sip: call.sip,
});

/** The items with the outcomes of their calls, beside their own fields if `includesInput`. */
export function withOutcomes(
	items: INodeExecutionData[],
	{ rows, includesInput }: { rows: Row[]; includesInput: boolean },
): INodeExecutionData[] {
	return rows.map((row, index) => ({
		...items[index],
		json: { ...(includesInput && items[index]?.json), ...outcomeOf(row) },
		pairedItem: { item: index },
	}));
}

/** All fields in every outcome, so that a sheet has the same columns for each. */
function outcomeOf(row: Row): IDataObject {
	const { call, refusal } = row;
	return {
		outcome: wordFor(row),
		call_id: call?.call_id ?? refusal?.call_id ?? null,
		call_status: call?.call_status ?? null,
		disconnection_reason: call?.disconnection_reason ?? null,
		duration_ms: call?.duration_ms ?? null,
		sip_status: call?.sip?.status ?? null,
		message: messageFor(row),
	};
}

function wordFor(row: Row): string {
	if (!row.call) return 'not dispatched';
	if (!hasEnded(row)) return 'time limit';
	if (row.call.call_status === 'ended') return 'answered';
	return OUTCOMES[row.call.disconnection_reason ?? ''] ?? 'failed';
}

function messageFor(row: Row): string {
	if (!row.call) return row.refusal?.message ?? 'The time limit came first';
	if (!hasEnded(row)) return 'The call had not ended at the time limit';
	return row.call.sip?.reason ?? '';
}
