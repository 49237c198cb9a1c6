// Requests to the gateway's HTTP API, and what becomes of those that it refuses.
import type {
	IDataObject,
	IExecuteFunctions,
	IHttpRequestMethods,
	IN8nHttpFullResponse,
	INodeExecutionData,
	IWebhookFunctions,
	JsonObject,
} from 'n8n-workflow';
import { NodeApiError, NodeOperationError } from 'n8n-workflow';

export const CREDENTIALS = 'jambonzLivekitGatewayApi';
/** In ms: the gateway answers all but a dispatch within seconds. */
const TIMEOUT = 30_000;
/** Errors of the network that pass: a gateway that restarts, a broken connection. */
const PASSING = ['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'ETIMEDOUT', 'EAI_AGAIN', 'EPIPE'];
/** In s: when to try again after one of those. */
const RETRY_AFTER = 2;

/** What a request is made from: the node's execution, or a callback that it waits for. */
export type Context = IExecuteFunctions | IWebhookFunctions;

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
	/** HTTP's; 0 where there is no response: `error` is `unreachable`. */
	status: number;
	error: string;
	message: string;
	details?: IDataObject;
	call_id?: string;
	/** In s. */
	retry_after?: number;
}

export type Response = { body: IDataObject } | { refusal: Refusal };

/** The gateway's response. Throws only where the credentials are missing. */
export async function send(
	context: Context,
	itemIndex: number,
	request: GatewayRequest,
): Promise<Response> {
	const { url } = await context.getCredentials<{ url: string }>(CREDENTIALS, itemIndex);
	const options = {
		method: request.method,
		url: url.trim().replace(/\/+$/, '') + request.path,
		qs: request.query,
		body: request.body,
		json: true,
		timeout: request.timeout ?? TIMEOUT,
		returnFullResponse: true,
		ignoreHttpStatusErrors: true,
		// A POST that is redirected arrives as a GET.
		disableFollowRedirect: true,
	};
	try {
		return responseOf(
			await context.helpers.httpRequestWithAuthentication.call(context, CREDENTIALS, options),
		);
	} catch (error) {
		return { refusal: unreachable(error as NodeApiError) };
	}
}

/** The body of the gateway's response. Throws a NodeApiError where it refuses or is not reached. */
export async function ask(
	context: Context,
	itemIndex: number,
	request: GatewayRequest,
): Promise<IDataObject> {
	const response = await send(context, itemIndex, request);
	if ('body' in response) return response.body;
	throw refused(context, itemIndex, response.refusal);
}

/** What a person reads: `destination: Not a destination.`, or the gateway's message. */
export function refused(context: Context, itemIndex: number, refusal: Refusal): NodeApiError {
	const { status, error: code } = refusal;
	const error = new NodeApiError(context.getNode(), refusal as JsonObject, {
		message: sentence(refusal),
		description: `${code}${status ? ` (HTTP status ${status})` : ''}`,
		httpCode: status ? String(status) : undefined,
		itemIndex,
	});
	error.context.data = refusal;
	return error;
}

/** A result of the item, beside the item's own fields where "Include Input Fields" is on. */
export function resultItem(
	context: IExecuteFunctions,
	itemIndex: number,
	json: IDataObject,
): INodeExecutionData {
	const isIncluded = context.getNodeParameter('includeInputFields', itemIndex, false);
	const input = isIncluded ? context.getInputData()[itemIndex].json : {};
	return { json: { ...input, ...json }, pairedItem: { item: itemIndex } };
}

/**
 * The item in place of a result, for `continueOnFail`: the refusal, or what is wrong with a
 * parameter. n8n puts nothing but `{ error: message }` into an item that has an `error`, so it has
 * none. To the error output n8n sends an item whose only field is `error`, and adds the row's.
 */
export function failedItem(
	context: IExecuteFunctions,
	itemIndex: number,
	cause: Error,
): INodeExecutionData {
	const known = cause instanceof NodeApiError && (cause.context.data as IDataObject);
	const json = known || { error: 'invalid', message: cause.message };
	return context.getNode().onError === 'continueErrorOutput'
		? { json: { error: json }, pairedItem: { item: itemIndex } }
		: resultItem(context, itemIndex, json);
}

/** The error of the item, for an execution that fails. */
export function failure(
	context: IExecuteFunctions,
	itemIndex: number,
	cause: Error,
): NodeApiError | NodeOperationError {
	const isKnown = cause instanceof NodeApiError || cause instanceof NodeOperationError;
	return isKnown ? cause : new NodeOperationError(context.getNode(), cause, { itemIndex });
}

function responseOf({ statusCode, body, headers }: IN8nHttpFullResponse): Response {
	const fields = isObject(body) ? body : {};
	if (statusCode < 300 && isObject(body)) return { body };
	const retryAfter = Number(headers['retry-after']);
	const what = headers.location ? `a redirect to ${String(headers.location)}` : 'no gateway';
	return {
		refusal: {
			...fields,
			status: statusCode,
			error: String(fields.error ?? 'not_a_gateway'),
			message: String(
				fields.message ?? `There is ${what} at this URL: correct it in the credentials`,
			),
			...(retryAfter > 0 && { retry_after: retryAfter }),
		},
	};
}

function unreachable(error: NodeApiError): Refusal {
	const cause = error.cause as { code?: string } | undefined;
	const code = cause?.code ?? error.httpCode ?? '';
	return {
		status: 0,
		error: 'unreachable',
		message: `The gateway does not answer: ${error.message}`,
		...(PASSING.includes(code) && { retry_after: RETRY_AFTER }),
	};
}

function sentence({ message, details }: Refusal): string {
	return isObject(details) ? words(details) : message;
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
