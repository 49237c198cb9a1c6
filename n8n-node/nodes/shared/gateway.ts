// Requests to the gateway's HTTP API, and what becomes of those that it refuses.
import type {
	IDataObject,
	IExecuteFunctions,
	IHttpRequestMethods,
	IN8nHttpFullResponse,
	INodeExecutionData,
	JsonObject,
} from 'n8n-workflow';
import { NodeApiError, NodeOperationError } from 'n8n-workflow';

export const CREDENTIALS = 'jambonzLivekitGatewayApi';
/** In ms: the gateway answers all but a dispatch within seconds. */
const TIMEOUT = 30_000;

export interface GatewayRequest {
	method: IHttpRequestMethods;
	/** Behind the URL of the credentials, such as `/livekit-api/calls`. */
	path: string;
	query?: IDataObject;
	body?: IDataObject;
	/** In ms. */
	timeout?: number;
}

/** A response other than 2xx: its status beside the gateway's `error`, `message`, `details`, … */
export interface Refusal extends IDataObject {
	status: number;
	error: string;
	message: string;
	details?: IDataObject;
	call_id?: string;
	/** In s. */
	retry_after?: number;
}

/** The gateway's response, or its refusal. Throws what the network does, such as ECONNREFUSED. */
export async function send(
	context: IExecuteFunctions,
	itemIndex: number,
	request: GatewayRequest,
): Promise<{ body: IDataObject } | { refusal: Refusal }> {
	const { url } = await context.getCredentials<{ url: string }>(CREDENTIALS, itemIndex);
	const response = (await context.helpers.httpRequestWithAuthentication.call(
		context,
		CREDENTIALS,
		{
			method: request.method,
			url: url.trim().replace(/\/+$/, '') + request.path,
			qs: request.query,
			body: request.body,
			json: true,
			timeout: request.timeout ?? TIMEOUT,
			returnFullResponse: true,
			ignoreHttpStatusErrors: true,
		},
	)) as IN8nHttpFullResponse;
	const isAccepted = response.statusCode >= 200 && response.statusCode < 300;
	if (isAccepted && isObject(response.body)) return { body: response.body };
	return { refusal: refusalOf(response) };
}

/** The body of the gateway's response. Throws a NodeApiError where it refuses or is not reached. */
export async function ask(
	context: IExecuteFunctions,
	itemIndex: number,
	request: GatewayRequest,
): Promise<IDataObject> {
	const response = await send(context, itemIndex, request);
	if ('body' in response) return response.body;
	throw refused(context, itemIndex, response.refusal);
}

/** What a person reads: `destination: Not a valid number.`, or the gateway's message. */
export function refused(
	context: IExecuteFunctions,
	itemIndex: number,
	refusal: Refusal,
): NodeApiError {
	const error = new NodeApiError(context.getNode(), refusal as JsonObject, {
		message: sentence(refusal),
		description: `The gateway answered ${refusal.status} ${refusal.error}`,
		httpCode: String(refusal.status),
		itemIndex,
	});
	error.context.data = refusal;
	return error;
}

/** The item in place of a result, for `continueOnFail`; n8n sends it to the error output by `error`. */
export function failedItem(
	context: IExecuteFunctions,
	itemIndex: number,
	error: Error,
): INodeExecutionData {
	const known =
		error instanceof NodeApiError || error instanceof NodeOperationError
			? error
			: new NodeApiError(context.getNode(), error as unknown as JsonObject, { itemIndex });
	const json = (known.context.data as IDataObject) ?? { error: known.message };
	return { json, error: known, pairedItem: { item: itemIndex } };
}

function refusalOf({ statusCode, body, headers }: IN8nHttpFullResponse): Refusal {
	const fields = isObject(body) ? body : {};
	const retryAfter = Number(headers['retry-after']);
	return {
		...fields,
		status: statusCode,
		error: String(fields.error ?? 'not_a_gateway'),
		message: String(fields.message ?? 'This is no response of the gateway: check the URL'),
		...(retryAfter > 0 && { retry_after: retryAfter }),
	};
}

function sentence({ message, details }: Refusal): string {
	const fields = Object.entries(details ?? {}).map(([field, text]) => `${field}: ${words(text)}`);
	return fields.join('; ') || message;
}

/** The gateway's words about a field: a text, a list of texts, or those of the fields within. */
function words(text: unknown): string {
	if (Array.isArray(text)) return text.map(words).join(' ');
	if (!isObject(text)) return String(text);
	return Object.entries(text)
		.map(([field, inner]) => `${field}: ${words(inner)}`)
		.join('; ');
}

function isObject(value: unknown): value is IDataObject {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}
