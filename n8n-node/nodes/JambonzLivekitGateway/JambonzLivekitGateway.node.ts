// The node "Jambonz LiveKit Gateway": what can be done with calls.
import type {
	IExecuteFunctions,
	INodeExecutionData,
	INodeType,
	INodeTypeDescription,
	IWebhookFunctions,
	IWebhookResponseData,
} from 'n8n-workflow';
import { NodeConnectionTypes } from 'n8n-workflow';

import { CREDENTIALS, failedItem, failure, resultItem } from '../shared/gateway';
import type { Action } from './action';
import { get, getMany, hangUp, transfer } from './calls';
import { dispatch } from './dispatch';
import { CALLBACKS, dispatchAndWait, onCallback } from './dispatchAndWait';
import { properties } from './properties';

const ACTIONS: Record<string, Action> = { dispatch, get, getMany, hangUp, transfer };

export class JambonzLivekitGateway implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Jambonz LiveKit Gateway',
		name: 'jambonzLivekitGateway',
		icon: { light: 'file:../../icons/gateway.svg', dark: 'file:../../icons/gateway.dark.svg' },
		group: ['output'],
		version: 1,
		subtitle: '={{ $parameter["operation"] + ": " + $parameter["resource"] }}',
		description: 'Call people with a voice agent, and get, transfer and end calls',
		codex: {
			categories: ['Communication'],
			alias: ['Phone', 'Telephone', 'Voice', 'Dial', 'SIP', 'AI'],
		},
		defaults: { name: 'Jambonz LiveKit Gateway' },
		inputs: [NodeConnectionTypes.Main],
		outputs: [NodeConnectionTypes.Main],
		usableAsTool: true,
		credentials: [{ name: CREDENTIALS, required: true }],
		webhooks: CALLBACKS,
		properties,
	};

	async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
		if (this.getNodeParameter('operation', 0) === 'dispatchAndWait') {
			return [await dispatchAndWait(this)];
		}
		const results: INodeExecutionData[] = [];
		for (const itemIndex of this.getInputData().keys()) {
			const action = ACTIONS[this.getNodeParameter('operation', itemIndex) as string];
			try {
				const answers = await action(this, itemIndex);
				results.push(...answers.map((json) => resultItem(this, itemIndex, json)));
			} catch (error) {
				if (!this.continueOnFail()) throw failure(this, itemIndex, error as Error);
				results.push(failedItem(this, itemIndex, error as Error));
			}
		}
		return [results];
	}

	async webhook(this: IWebhookFunctions): Promise<IWebhookResponseData> {
		return await onCallback(this);
	}
}
