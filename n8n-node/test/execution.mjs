// An execution of n8n that waits, and is stored while it does, without n8n: for tests.
import gateway from '../dist/nodes/JambonzLivekitGateway/JambonzLivekitGateway.node.js';

const NODE = { id: 'c0ffee', name: "The list's calls", type: 'jambonzLivekitGateway' };
export const resumeUrl = (id) => `https://n8n.example.com/webhook-waiting/${id}`;

const KEY_REUSED = {
	error: 'idempotency_key_reused',
	message: 'this idempotency key was used with another body',
};

/** The gateway's pages have 98 KB at most. */
const PAGE = 60;

/** A gateway in memory; `refusals` by destination, used up one by one: `[status, body, headers]`. */
export class Gateway {
	calls = new Map();
	requests = [];
	refusals = {};

	/** The call to `destination` ends. */
	end(destination, fields) {
		const call = [...this.calls.values()].find((one) => one.to_number === destination);
		Object.assign(call, { call_status: 'not_connected', ...fields });
	}

	answer({ method, url, body }) {
		this.requests.push({ method, url, body });
		if (this.isDown) throw new Error('connection refused');
		if (method === 'POST') return this.dispatch(body);
		const keys = new URL(url).searchParams.getAll('idempotency_key');
		const calls = keys.filter((key) => this.calls.has(key)).map((key) => this.calls.get(key));
		const first = Number(new URL(url).searchParams.get('cursor') ?? 0);
		const next_cursor = first + PAGE < calls.length ? String(first + PAGE) : null;
		return {
			statusCode: 200,
			headers: {},
			body: { calls: calls.slice(first, first + PAGE), next_cursor },
		};
	}

	dispatch({ idempotency_key, destination, callback_url }) {
		const refusal = this.refusals[destination]?.shift();
		if (refusal) return { statusCode: refusal[0], body: refusal[1], headers: refusal[2] ?? {} };
		const known = this.calls.get(idempotency_key);
		if (known && `${known.to_number} ${known.callback_url}` !== `${destination} ${callback_url}`) {
			return { statusCode: 409, headers: {}, body: KEY_REUSED };
		}
		const call = known ?? { call_id: `outbound-${this.calls.size}`, call_status: 'ringing' };
		const fields = { to_number: destination, callback_url, idempotency_key };
		this.calls.set(idempotency_key, { ...call, ...fields });
		return { statusCode: 200, headers: {}, body: call };
	}
}

export class Execution {
	constructor(served, items, { continueOnFail = false, secret = '', id = '231' } = {}) {
		Object.assign(this, { served, items, continueOnFail, secret, id });
		this.stored = { context: {}, runIndex: undefined, runs: 0 };
	}

	/** The node is executed: the first time, by n8n's clock, or in a loop. Undefined: it waits. */
	async execute() {
		this.waitTill = undefined;
		const executeData = { runIndex: this.stored.runIndex };
		// n8n keeps the run that has waited, and counts it.
		const runs = this.stored.runs + (this.stored.waitTill === undefined ? 0 : 1);
		const runIndex = executeData.runIndex ?? runs;
		const [items] = await new gateway.JambonzLivekitGateway().execute.call({
			...this.#context(runIndex),
			getContext: () => this.stored.context,
			getExecuteData: () => executeData,
			getExecutionCancelSignal: () => undefined,
			getInputData: () => this.items.map((json) => ({ json })),
			getInstanceId: () => 'f00dface',
			continueOnFail: () => this.continueOnFail,
			putExecutionToWait: async (waitTill) => (this.waitTill = waitTill),
		});
		this.stored.runIndex = executeData.runIndex;
		// What n8n reads again after a restart.
		this.stored = JSON.parse(JSON.stringify({ ...this.stored, waitTill: this.waitTill }));
		return this.waitTill ? undefined : this.#ended(items, runIndex);
	}

	/** A callback arrives; returns its status, its response and the items if the execution goes on. */
	async callBack(request = { headers: {}, rawBody: Buffer.from('{}') }) {
		let status = 200;
		const response = { status: (code) => ((status = code), { json: () => response }) };
		const result = await new gateway.JambonzLivekitGateway().webhook.call({
			...this.#context(0),
			getRequestObject: () => request,
			getResponseObject: () => response,
		});
		const items = result.workflowData?.[0];
		return { status, body: result.webhookResponse, items: items && this.#ended(items, 0) };
	}

	#ended(items) {
		this.stored.runs += 1;
		this.stored.runIndex = undefined;
		this.stored.waitTill = undefined;
		return items.map(({ json }) => json);
	}

	#context(runIndex) {
		const expressions = {
			'{{ $runIndex }}': () => runIndex,
			'{{ $execution.resumeUrl }}': () => resumeUrl(this.id),
			'{{ $input.all() }}': () => this.items.map((json) => ({ json })),
			[`{{ $node[${JSON.stringify(NODE.name)}].context.wait }}`]: () => this.stored.context.wait,
		};
		const parameters = {
			operation: 'dispatchAndWait',
			dataToSend: 'autoMapInputData',
			timeLimit: 60,
			includeInputFields: true,
		};
		return {
			logger: { warn: () => undefined },
			getNode: () => NODE,
			getExecutionId: () => this.id,
			evaluateExpression: (expression) => expressions[expression](),
			getNodeParameter: (name, ...rest) => parameters[name] ?? rest.at(-1),
			getCredentials: async () => ({
				url: 'http://gateway.example.com',
				apiKey: 'secret',
				callbackSecret: this.secret,
			}),
			helpers: {
				httpRequestWithAuthentication: async (_name, options) => this.served.answer(options),
			},
		};
	}
}
