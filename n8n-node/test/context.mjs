// What n8n gives to a node that it executes, without n8n: for tests.
import { createRequire } from 'node:module';

import credentials from '../dist/credentials/JambonzLivekitGatewayApi.credentials.js';
import gateway from '../dist/nodes/JambonzLivekitGateway/JambonzLivekitGateway.node.js';

// Node finds no files of its ES modules.
const { NodeApiError, NodeHelpers } = createRequire(import.meta.url)('n8n-workflow');

const EXECUTION = { id: '231', instance: 'f00dfacef00dfacef00dface', run: 0 };

/**
 * `parameters` are those that a person has set; n8n adds the defaults of the others that are shown.
 * `url` and `apiKey` are the credentials', `items` the input's `json`.
 */
export function contextOf({
	parameters,
	items = [{}],
	url = '',
	apiKey = '',
	onError = 'stopWorkflow',
	execution = {},
}) {
	const { description } = new gateway.JambonzLivekitGateway();
	const node = {
		id: 'c0ffee',
		name: 'Call',
		type: 'n8n-nodes-jambonz-livekit-gateway.jambonzLivekitGateway',
		typeVersion: 1,
		position: [0, 0],
		parameters: {},
		onError,
	};
	const set = { resource: 'call', ...parameters };
	const shown = NodeHelpers.getNodeParameters(
		description.properties,
		set,
		true,
		false,
		node,
		description,
	);
	const { id, instance, run } = { ...EXECUTION, ...execution };
	const hints = [];
	return {
		hints,
		getNode: () => node,
		getInputData: () => items.map((json) => ({ json })),
		getNodeParameter: (name, _itemIndex, fallback) => shown[name] ?? fallback,
		getCredentials: async () => ({ url, apiKey }),
		getExecutionId: () => id,
		getInstanceId: () => instance,
		getTimezone: () => 'Europe/Berlin',
		evaluateExpression: () => run,
		continueOnFail: () => onError !== 'stopWorkflow',
		addExecutionHints: (...given) => hints.push(...given),
		helpers: {
			httpRequestWithAuthentication: (_name, options) => request(node, options, apiKey),
		},
	};
}

/** The items that the node returns. */
export async function execute(setup) {
	const node = new gateway.JambonzLivekitGateway();
	const [items] = await node.execute.call(contextOf(setup));
	return items;
}

async function request(node, { method, url, qs = {}, body, timeout }, apiKey) {
	const [header] = Object.keys(
		new credentials.JambonzLivekitGatewayApi().authenticate.properties.headers,
	);
	const target = new URL(url);
	for (const [name, value] of Object.entries(qs)) target.searchParams.set(name, value);
	const isSent = body !== undefined && Object.keys(body).length > 0;
	try {
		const response = await fetch(target, {
			method,
			headers: { [header]: apiKey, ...(isSent && { 'Content-Type': 'application/json' }) },
			body: isSent ? JSON.stringify(body) : undefined,
			redirect: 'manual',
			signal: AbortSignal.timeout(timeout),
		});
		const text = await response.text();
		const isJson = response.headers.get('content-type')?.includes('json');
		const headers = Object.fromEntries(response.headers);
		return { statusCode: response.status, headers, body: isJson ? JSON.parse(text) : text };
	} catch (error) {
		const { code, message } = error.cause ?? error;
		throw new NodeApiError(node, Object.assign(new Error(message), { code }));
	}
}
