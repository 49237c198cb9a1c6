// The parameters of Get, Get Many, Hang Up and Transfer. Names with _ are the gateway's.
import type { IDisplayOptions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';

const shownFor = (...operation: string[]): IDisplayOptions => ({
	show: { resource: ['call'], operation },
});

/** Options whose names are their values with blanks, such as "Dial Busy". */
const options = (...values: string[]): INodePropertyOptions[] =>
	values.map((value) => ({
		name: value.replace(
			/(^|_)([a-z])/g,
			(_, start, letter) => (start && ' ') + letter.toUpperCase(),
		),
		value,
	}));

/** Why a call ended: docs/http-api.md, "Disconnection reasons". */
export const REASONS = options(
	'agent_error',
	'agent_hangup',
	'call_transfer',
	'concurrency_limit_reached',
	'connection_lost',
	'dial_busy',
	'dial_failed',
	'dial_no_answer',
	'gateway_lost',
	'inactivity',
	'invalid_destination',
	'manual_stopped',
	'marked_as_spam',
	'max_duration_reached',
	'no_agent',
	'registered_call_timeout',
	'sip_routing_error',
	'telephony_provider_permission_denied',
	'telephony_provider_unavailable',
	'user_declined',
	'user_hangup',
	'voicemail_reached',
);

export const DIRECTIONS = options('inbound', 'outbound');

const FILTERS: INodeProperties[] = [
	{ displayName: 'Account Code', name: 'account_code', type: 'string', default: '' },
	{ displayName: 'Agent Name', name: 'agent_name', type: 'string', default: '' },
	{
		displayName: 'Direction',
		name: 'direction',
		type: 'options',
		options: DIRECTIONS,
		default: 'outbound',
	},
	{
		displayName: 'Disconnection Reason',
		name: 'disconnection_reason',
		type: 'options',
		options: REASONS,
		default: 'dial_busy',
		description: 'Why the call ended',
	},
	{ displayName: 'From Number', name: 'from_number', type: 'string', default: '' },
	{
		displayName: 'Idempotency Key',
		name: 'idempotency_key',
		type: 'string',
		default: '',
		description: 'The key of a dispatch: the call that it made',
	},
	{
		displayName: 'Search',
		name: 'q',
		type: 'string',
		default: '',
		description: "Part of a number or of the call's ID",
	},
	{
		displayName: 'Since',
		name: 'since',
		type: 'dateTime',
		default: '',
		description: 'Calls that began at this time or later',
	},
	{
		displayName: 'Status',
		name: 'status',
		type: 'options',
		options: options('ended', 'error', 'not_connected', 'ongoing', 'registered', 'ringing'),
		default: 'ongoing',
	},
	{ displayName: 'To Number', name: 'to_number', type: 'string', default: '' },
	{
		displayName: 'Until',
		name: 'until',
		type: 'dateTime',
		default: '',
		description: 'Calls that began before this time',
	},
	{
		displayName: 'Verdict',
		name: 'verdict',
		type: 'options',
		options: options(
			'lost_packets',
			'no_conversation',
			'silent_agent',
			'silent_caller',
			'slow_first_word',
			'slow_turns',
			'unanswered_speech',
		),
		default: 'silent_agent',
		description: 'What was wrong with the conversation',
	},
];

const GET_MANY: INodeProperties[] = [
	{
		displayName: 'Return All',
		name: 'returnAll',
		type: 'boolean',
		displayOptions: shownFor('getMany'),
		default: false,
		description: 'Whether to return all results or only up to a given limit',
	},
	{
		displayName: 'Limit',
		name: 'limit',
		type: 'number',
		typeOptions: { minValue: 1 },
		displayOptions: { show: { ...shownFor('getMany').show, returnAll: [false] } },
		default: 50,
		description: 'Max number of results to return',
	},
	{
		displayName: 'Include Ended',
		name: 'includeEnded',
		type: 'boolean',
		displayOptions: shownFor('getMany'),
		default: true,
		description: 'Whether calls that have ended are among the results',
	},
	{
		displayName: 'Filters',
		name: 'filters',
		type: 'collection',
		displayOptions: shownFor('getMany'),
		placeholder: 'Add Filter',
		default: {},
		options: FILTERS,
	},
];

const TRANSFER: INodeProperties[] = [
	{
		displayName: 'Target',
		name: 'target',
		type: 'string',
		displayOptions: shownFor('transfer'),
		default: '',
		placeholder: '+15550101',
		description: "A number or sip:user@host; empty: the call's own transfer target",
	},
	{
		displayName: 'Kind',
		name: 'kind',
		type: 'options',
		displayOptions: shownFor('transfer'),
		options: [
			{ name: 'Announced', value: 'announced', description: 'The target hears the summary first' },
			{ name: 'Cold', value: 'cold', description: 'The caller is connected to the target' },
			{ name: 'Warm', value: 'warm', description: 'The target joins the caller and the agent' },
		],
		default: 'cold',
	},
	{
		displayName: 'Summary',
		name: 'summary',
		type: 'string',
		typeOptions: { rows: 3 },
		displayOptions: { show: { ...shownFor('transfer').show, kind: ['announced'] } },
		default: '',
		description: 'What the target hears before it takes the call',
	},
];

export const callsProperties: INodeProperties[] = [
	{
		displayName: 'Call ID',
		name: 'call_id',
		type: 'string',
		displayOptions: shownFor('get', 'hangUp', 'transfer'),
		required: true,
		default: '',
		placeholder: 'outbound-9f1a2b3c4d',
		description: 'The call_id of a dispatch or an event',
	},
	...GET_MANY,
	...TRANSFER,
];
