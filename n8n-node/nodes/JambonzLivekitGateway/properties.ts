// What the node's panel shows: the operations, and the parameters of each.
import type { INodeProperties } from 'n8n-workflow';

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
	],
	default: 'dispatch',
};

export const properties: INodeProperties[] = [RESOURCE, OPERATION, ...dispatchProperties];
