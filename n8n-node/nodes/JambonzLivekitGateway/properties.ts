// What the node's panel shows: the operations, and the parameters of each.
import type { INodeProperties } from 'n8n-workflow';

import { callsProperties } from './calls.properties';
import { dispatchProperties } from './dispatch.properties';

const RESOURCE: INodeProperties = {
	displayName: 'Resource',
	name: 'resource',
	type: 'options',
	noDataExpression: true,
	options: [{ name: 'Call', value: 'call' }],
	default: 'call',
};

const OPERATION: INodeProperties = {
	displayName: 'Operation',
	name: 'operation',
	type: 'options',
	noDataExpression: true,
	displayOptions: { show: { resource: ['call'] } },
	options: [
		{
			name: 'Dispatch',
			value: 'dispatch',
			description: 'Call a number and have an agent talk to the callee',
			action: 'Dispatch a call',
		},
		{
			name: 'Dispatch and Wait',
			value: 'dispatchAndWait',
			description: 'Call the numbers of all items, and go on with how each call went',
			action: 'Dispatch calls and wait until they have ended',
		},
		{
			name: 'Get',
			value: 'get',
			description: 'Get a call with its timeline, report and deliveries',
			action: 'Get a call',
		},
		{
			name: 'Get Many',
			value: 'getMany',
			description: 'Get many calls, newest first',
			action: 'Get many calls',
		},
		{
			name: 'Hang Up',
			value: 'hangUp',
			description: 'End a call',
			action: 'Hang up a call',
		},
		{
			name: 'Transfer',
			value: 'transfer',
			description: 'Transfer a call to a person or another number',
			action: 'Transfer a call',
		},
	],
	default: 'dispatch',
};

export const properties: INodeProperties[] = [
	RESOURCE,
	OPERATION,
	...dispatchProperties,
	...callsProperties,
];
