// From what a person fills in, or an item's columns, to the body of `POST /dispatch`. Pure.
import type { IDataObject } from 'n8n-workflow';

/** The fields of `POST /dispatch` that a column may have the name of. */
export const FIELDS = [
	'destination',
	'account_code',
	'transfer_target',
	'caller_id',
	'caller_number',
	'caller_name',
	'metadata',
	'agent_name',
	'session_options',
	'max_call_duration',
	'ringing_timeout',
	'record_call',
	'wait',
	'callback_url',
	'callback_events',
	'idempotency_key',
];
const OBJECTS = ['metadata', 'session_options'];

/** Without what is empty: a sheet's empty cells, expressions without a value, empty lists. */
export function withoutEmpty(fields: IDataObject): IDataObject {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

/**
 * The request in the columns of an item: those with the name of a field, in any case and with blanks
 * for `_`, are that field; the others go into `metadata` under their own names.
 */
export function fromColumns(columns: IDataObject): IDataObject {
	const request: IDataObject = {};
	const metadata: IDataObject = {};
	for (const [column, value] of Object.entries(withoutEmpty(columns))) {
		const field = column
			.trim()
			.toLowerCase()
			.replace(/[\s-]+/g, '_');
		if (FIELDS.includes(field)) request[field] = value;
		else metadata[column] = value;
	}
	const given = parsed(request);
	return withoutEmpty({ ...given, metadata: { ...metadata, ...(given.metadata as IDataObject) } });
}

/** With objects and lists in place of texts that stand for them. Throws an Error that names the field. */
export function parsed(request: IDataObject): IDataObject {
	const result = { ...request };
	for (const field of OBJECTS.filter((name) => typeof request[name] === 'string')) {
		result[field] = parsedObject(field, request[field] as string);
	}
	if (typeof request.callback_events === 'string') {
		result.callback_events = request.callback_events.split(/[\s,]+/).filter(Boolean);
	}
	return result;
}

function parsedObject(field: string, text: string): IDataObject {
	const value: unknown = jsonOf(text);
	if (typeof value !== 'object' || value === null || Array.isArray(value)) {
		throw new TypeError(`${field}: must be a JSON object, such as {"language": "en"}`);
	}
	return value as IDataObject;
}

function jsonOf(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

function isEmpty(value: unknown): boolean {
	if (typeof value === 'string') return value.trim() === '';
	if (Array.isArray(value)) return value.length === 0;
	if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
	return value === null || value === undefined;
}
