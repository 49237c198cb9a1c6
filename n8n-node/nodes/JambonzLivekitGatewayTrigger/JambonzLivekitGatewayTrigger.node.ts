// The trigger "Call Events": an execution for each event that the gateway reports of its calls.
import type {
	IHookFunctions,
	INodeType,
	INodeTypeDescription,
	IWebhookFunctions,
	IWebhookResponseData,
} from 'n8n-workflow';
import { NodeConnectionTypes, NodeOperationError } from 'n8n-workflow';

import type { EventFilter } from '../shared/events';
import { isEvent, passes, SeenIds } from '../shared/events';
import { CREDENTIALS } from '../shared/gateway';
import { isSigned } from '../shared/signature';
import { properties } from './properties';

/** By trigger; n8n gives each request the stored ids of before those that are still in work. */
const seenIds = new Map<string, { ids: SeenIds; storedAt: number }>();
/**
 * In ms: n8n writes the workflow each time that ids are stored, and answers afterwards. An event of
 * the last moment before a restart starts the workflow again only if its answer was lost, too.
 */
const STORE_EVERY = 200;

export class JambonzLivekitGatewayTrigger implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Jambonz LiveKit Gateway Trigger',
		name: 'jambonzLivekitGatewayTrigger',
		icon: { light: 'file:../../icons/gateway.svg', dark: 'file:../../icons/gateway.dark.svg' },
		group: ['trigger'],
		version: 1,
		subtitle: '={{ $parameter["events"].join(", ") || "all events" }}',
		description: 'Starts the workflow when a call starts, ends, is analyzed or is transferred',
		defaults: { name: 'Call Events' },
		inputs: [],
		outputs: [NodeConnectionTypes.Main],
		credentials: [{ name: CREDENTIALS, required: true }],
		webhooks: [
			{
				name: 'default',
				httpMethod: 'POST',
				responseMode: 'onReceived',
				responseData: '', // what the method below returns
				path: 'call-events',
			},
		],
		properties,
	};

	webhookMethods = {
		default: {
			/** Nothing to register: the gateway's configuration names the URL. */
			async checkExists(this: IHookFunctions): Promise<boolean> {
				await secretOf(this);
				return true;
			},
			async create(this: IHookFunctions): Promise<boolean> {
				return true;
			},
			async delete(this: IHookFunctions): Promise<boolean> {
				return true;
			},
		},
	};

	async webhook(this: IWebhookFunctions): Promise<IWebhookResponseData> {
		if (!isSigned(this.getRequestObject(), await secretOf(this), Date.now())) {
			return refuse(this, 401, 'bad_signature');
		}
		const event: unknown = this.getBodyData();
		if (!isEvent(event)) return refuse(this, 422, 'no_event');
		const filter: EventFilter = {
			events: this.getNodeParameter('events', []) as string[],
			directions: this.getNodeParameter('directions', []) as string[],
			reasons: this.getNodeParameter('reasons', []) as string[],
		};
		if (!passes(event, filter)) return { webhookResponse: { status: 'filtered' } };
		if (isRepeated(this, event.event_id)) return { webhookResponse: { status: 'repeated' } };
		return {
			webhookResponse: { status: 'accepted' },
			workflowData: [this.helpers.returnJsonArray({ ...event })],
		};
	}
}

/** Throws a NodeOperationError where the credentials have none. */
async function secretOf(context: IHookFunctions | IWebhookFunctions): Promise<string> {
	const { callbackSecret } = await context.getCredentials<{ callbackSecret?: string }>(CREDENTIALS);
	if (callbackSecret?.trim()) return callbackSecret;
	throw new NodeOperationError(context.getNode(), 'Callback Secret: the credentials have none', {
		description: "Set it to the gateway's CALLBACK_SECRET: it shows that an event is the gateway's",
	});
}

function refuse(context: IWebhookFunctions, status: number, error: string): IWebhookResponseData {
	context.getResponseObject().status(status).json({ error });
	return { noWebhookResponse: true };
}

/** Whether the event came before; never while somebody tries the workflow out in the editor. */
function isRepeated(context: IWebhookFunctions, eventId: string): boolean {
	if (context.getMode() === 'manual') return false;
	const stored = context.getWorkflowStaticData('node');
	const trigger = `${context.getWorkflow().id} ${context.getNode().id}`;
	const seen = seenIds.get(trigger) ?? {
		ids: new SeenIds(String(stored.eventIds ?? '')),
		storedAt: 0,
	};
	seenIds.set(trigger, seen);
	if (!seen.ids.add(eventId)) return true;
	if (Date.now() - seen.storedAt < STORE_EVERY) return false;
	seen.storedAt = Date.now();
	stored.eventIds = String(seen.ids);
	return false;
}
