// The credentials of a gateway: where it is, a key of its API, and the secret it signs events with.
import type {
	IAuthenticateGeneric,
	ICredentialTestRequest,
	ICredentialType,
	INodeProperties,
} from 'n8n-workflow';

export class JambonzLivekitGatewayApi implements ICredentialType {
	name = 'jambonzLivekitGatewayApi';

	displayName = 'Jambonz LiveKit Gateway API';

	icon = {
		light: 'file:../icons/gateway.svg',
		dark: 'file:../icons/gateway.dark.svg',
	} as const;

	documentationUrl = 'https://github.com/example/jambonz-livekit-gateway/blob/main/docs/n8n.md';

	properties: INodeProperties[] = [
		{
			displayName: 'URL',
			name: 'url',
			type: 'string',
			required: true,
			default: '',
			placeholder: 'https://gateway.example.com',
			description: 'Where n8n reaches the gateway',
		},
		{
			displayName: 'API Key',
			name: 'apiKey',
			type: 'string',
			typeOptions: { password: true },
			required: true,
			default: '',
			description:
				'The secret of an entry of the gateway\'s GATEWAY_API_KEYS. Role "dispatch" for all actions; "read" is enough to get calls.',
		},
		{
			displayName: 'Callback Secret',
			name: 'callbackSecret',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			placeholder: 'whsec_…',
			description:
				"The gateway's CALLBACK_SECRET. With it the trigger and Dispatch and Wait check that an event comes from the gateway.",
		},
	];

	authenticate: IAuthenticateGeneric = {
		type: 'generic',
		properties: { headers: { 'X-API-Key': '={{$credentials.apiKey}}' } },
	};

	test: ICredentialTestRequest = {
		request: {
			baseURL: '={{$credentials.url.replace(/\\/+$/, "")}}',
			url: '/livekit-api/calls',
			qs: { limit: 1 },
			timeout: 10_000,
			disableFollowRedirect: true,
		},
	};
}
