// The parameters of Dispatch, and of Dispatch and Wait. Their names are those of the fields of `POST /dispatch`.
import type { IDisplayOptions, INodeProperties } from 'n8n-workflow';

const OPERATIONS = ['dispatch', 'dispatchAndWait'];
const AUTOMATIC = 'autoMapInputData';
const SHOW: IDisplayOptions = { show: { resource: ['call'], operation: OPERATIONS } };
const shownFor = (operation: string): IDisplayOptions => ({
	show: { resource: ['call'], operation: [operation] },
});
const WHEN_AUTOMATIC: IDisplayOptions = { show: { ...SHOW.show, dataToSend: [AUTOMATIC] } };
const WHEN_DEFINED: IDisplayOptions = { show: { ...SHOW.show, dataToSend: ['defineBelow'] } };

export const EVENTS = [
	{ name: 'Call Analyzed', value: 'call_analyzed' },
	{ name: 'Call Ended', value: 'call_ended' },
	{ name: 'Call Started', value: 'call_started' },
	{ name: 'Transfer Ended', value: 'transfer_ended' },
	{ name: 'Transfer Started', value: 'transfer_started' },
];

const ADDITIONAL_FIELDS: INodeProperties[] = [
	{
		displayName: 'Agent Name',
		name: 'agent_name',
		type: 'string',
		default: '',
		description: "Another LiveKit agent than the gateway's own",
	},
	{
		displayName: 'Callback Events',
		name: 'callback_events',
		type: 'multiOptions',
		options: EVENTS,
		default: [],
		description: 'Which events the callback URL receives; none selected: all',
	},
	{
		displayName: 'Callback URL',
		name: 'callback_url',
		type: 'string',
		default: '',
		description: 'Receives the events of this call',
	},
	{
		displayName: 'Caller ID',
		name: 'caller_id',
		type: 'string',
		default: '',
		description: "The callee's participant identity in the room",
	},
	{
		displayName: 'Caller Name',
		name: 'caller_name',
		type: 'string',
		default: '',
		description: 'The name that the callee sees',
	},
	{
		displayName: 'Caller Number',
		name: 'caller_number',
		type: 'string',
		default: '',
		placeholder: '+15550199',
		description: 'The number that the callee sees',
	},
	{
		displayName: 'Idempotency Key',
		name: 'idempotency_key',
		type: 'string',
		default: '',
		description:
			'Requests with the same key are the same call. Default: one for each item of an execution. Derive it from what the call is about where a new execution must not call again.',
	},
	{
		displayName: 'Max Call Duration (Seconds)',
		name: 'max_call_duration',
		type: 'number',
		typeOptions: { minValue: 10, maxValue: 86400 },
		default: 1800,
	},
	{
		displayName: 'Record Call',
		name: 'record_call',
		type: 'boolean',
		default: false,
		description: 'Whether the agent is to record the call',
	},
	{
		displayName: 'Ringing Timeout (Seconds)',
		name: 'ringing_timeout',
		type: 'number',
		typeOptions: { minValue: 1, maxValue: 80 },
		default: 30,
	},
	{
		displayName: 'Session Options',
		name: 'session_options',
		type: 'json',
		default: '{}',
		description: "What the agent's profile changes for this call",
	},
	{
		displayName: 'Transfer Target',
		name: 'transfer_target',
		type: 'string',
		default: '',
		placeholder: '+15550101',
		description: 'Where the agent may transfer the call to: a number or sip:user@host',
	},
	{
		displayName: 'Wait',
		name: 'wait',
		type: 'options',
		options: [
			{ name: 'A Moment', value: 'early', description: 'A busy or wrong number is an error' },
			{ name: 'Not at All', value: 'none', description: 'Respond when the number is dialed' },
			{ name: 'Until Answered', value: 'answer', description: 'Respond when the ringing ends' },
		],
		default: 'early',
		description: 'How long the response waits for a dial that fails',
	},
];

/** What Dispatch and Wait decides by itself. */
const FIELDS_OF_DISPATCH = ['callback_events', 'callback_url', 'wait'];

const additionalFields = (operation: string, options: INodeProperties[]): INodeProperties => ({
	displayName: 'Additional Fields',
	name: 'additionalFields',
	type: 'collection',
	displayOptions: shownFor(operation),
	placeholder: 'Add Field',
	default: {},
	description: "Of each call, where the item's columns do not say otherwise",
	options,
});

export const dispatchProperties: INodeProperties[] = [
	{
		displayName: 'Data to Send',
		name: 'dataToSend',
		type: 'options',
		displayOptions: SHOW,
		options: [
			{
				name: 'Auto-Map Input Data',
				value: AUTOMATIC,
				description: 'Take each call from the columns of its item',
			},
			{
				name: 'Define Below for Each Item',
				value: 'defineBelow',
				description: 'Set each field here',
			},
		],
		default: 'defineBelow',
	},
	{
		displayName:
			'The columns <code>destination</code>, <code>account_code</code>, <code>caller_number</code>, … of an item are the fields of its call. Its other columns are metadata: the agent gets them, and they come back with the outcome. Empty cells are left out.',
		name: 'columnsNotice',
		type: 'notice',
		displayOptions: WHEN_AUTOMATIC,
		default: '',
	},
	{
		displayName: 'Destination',
		name: 'destination',
		type: 'string',
		displayOptions: WHEN_DEFINED,
		required: true,
		default: '',
		placeholder: '+15550100',
		description: 'Whom to call: a number as it is dialed, or sip:user@host',
	},
	{
		displayName: 'Account Code',
		name: 'account_code',
		type: 'string',
		displayOptions: WHEN_DEFINED,
		required: true,
		default: '',
		placeholder: 'em-tech-01',
		description: 'Whose call it is: the agent and the carrier get it',
	},
	{
		displayName: 'Account Code',
		name: 'account_code',
		type: 'string',
		displayOptions: WHEN_AUTOMATIC,
		default: '',
		placeholder: 'em-tech-01',
		description: 'Of items without a column account_code. The agent and the carrier get it.',
	},
	{
		displayName: 'Metadata',
		name: 'metadata',
		type: 'fixedCollection',
		typeOptions: { multipleValues: true },
		displayOptions: WHEN_DEFINED,
		placeholder: 'Add Metadata',
		default: {},
		description: 'What else the agent is to know; it comes back with the outcome',
		options: [
			{
				displayName: 'Values',
				name: 'values',
				values: [
					{ displayName: 'Name', name: 'name', type: 'string', default: '' },
					{ displayName: 'Value', name: 'value', type: 'string', default: '' },
				],
			},
		],
	},
	{
		displayName: 'Include Input Fields',
		name: 'includeInputFields',
		type: 'boolean',
		displayOptions: SHOW,
		default: true,
		description: "Whether the item's own columns stay beside its result",
	},
	{
		displayName: 'Retry For (Seconds)',
		name: 'retryFor',
		type: 'number',
		typeOptions: { minValue: 0, maxValue: 3600 },
		displayOptions: shownFor('dispatch'),
		default: 60,
		description:
			'How long to try again while the gateway has no room for another call, no agent is free, or it does not answer. It is the same call: nobody is called twice.',
	},
	{
		displayName: 'Time Limit (Minutes)',
		name: 'timeLimit',
		type: 'number',
		typeOptions: { minValue: 1, maxValue: 10080 },
		displayOptions: shownFor('dispatchAndWait'),
		default: 120,
		description:
			'How long to wait for the end of all calls. Until then it also tries again while the gateway has no room for another call or no agent is free.',
	},
	additionalFields(
		'dispatchAndWait',
		ADDITIONAL_FIELDS.filter(({ name }) => !FIELDS_OF_DISPATCH.includes(name)),
	),
	additionalFields('dispatch', ADDITIONAL_FIELDS),
];
