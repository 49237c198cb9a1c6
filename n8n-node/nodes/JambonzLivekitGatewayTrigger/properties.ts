// What the trigger's panel shows.
import type { INodeProperties } from 'n8n-workflow';

import { DIRECTIONS, REASONS } from '../JambonzLivekitGateway/calls.properties';
import { EVENTS } from '../JambonzLivekitGateway/dispatch.properties';

export const properties: INodeProperties[] = [
	{
		displayName:
			"Add the production URL above to the gateway's <code>callbacks.urls</code>, and its CALLBACK_SECRET to the credentials. Or give the URL as callback_url of a dispatch.",
		name: 'urlNotice',
		type: 'notice',
		default: '',
	},
	{
		displayName: 'Events',
		name: 'events',
		type: 'multiOptions',
		options: EVENTS,
		default: ['call_ended'],
		description: 'Which events start the workflow; none selected: all',
	},
	{
		displayName: 'Directions',
		name: 'directions',
		type: 'multiOptions',
		options: DIRECTIONS,
		default: [],
		description: 'Of which calls; none selected: of all',
	},
	{
		displayName: 'Disconnection Reasons',
		name: 'reasons',
		type: 'multiOptions',
		options: REASONS,
		default: [],
		description:
			'Why the call ended; none selected: whatever the reason. With a reason, events of calls that have not ended do not start the workflow.',
	},
];
