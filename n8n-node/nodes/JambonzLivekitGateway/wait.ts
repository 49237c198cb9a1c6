// How an execution waits, so that it survives a restart of n8n: what is stored in it, and its clock.
import type { IExecuteFunctions, IWebhookFunctions } from 'n8n-workflow';

import type { Row } from './rows';

/** Times in ms since epoch. */
export interface Wait {
	runIndex: number;
	rows: Row[];
	includesInput: boolean;
	/** When the node goes on with what it has. */
	limit: number;
	/** When n8n executes the node next if no callback comes. */
	wakesAt: number;
}

/** n8n sets the timer of a wait up to 70 s before it ends, and never takes it back. */
const TIMER_SET_BEFORE = 75_000;
/** Executions that are remembered as resumed: those of the last seconds are needed. */
const MAX_RESUMED = 1000;

const resumed = new Set<string>();

/**
 * Where the execution is to wait until. n8n does not execute a node again after its wait: its input
 * becomes its output, unless the stored execution does not say that it has waited. This date is
 * stored as such only in the column that wakes the execution. See docs/decisions/0021-n8n-waits.md.
 */
class WakeUp extends Date {
	toJSON(): string {
		return '';
	}
}

/** The wait that this execution of the node continues; undefined the first time. */
export function storedWait(context: IExecuteFunctions): Wait | undefined {
	const stored = context.getContext('node').wait as string | undefined;
	const wait = stored ? (JSON.parse(stored) as Wait) : undefined;
	return wait?.runIndex === runIndexOf(context) ? wait : undefined;
}

/** The wait that a callback is for. */
export function waitOf(context: IWebhookFunctions): Wait {
	const name = JSON.stringify(context.getNode().name);
	return JSON.parse(
		context.evaluateExpression(`{{ $node[${name}].context.wait }}`) as string,
	) as Wait;
}

/** Puts the execution to wait; `wait` is what the next execution of the node and callbacks get. */
export async function sleepUntil(
	context: IExecuteFunctions,
	wait: Wait,
	wakesAt: number,
): Promise<void> {
	context.getContext('node').wait = JSON.stringify({ ...wait, wakesAt });
	context.getExecuteData().runIndex = wait.runIndex; // else it would be the node's next run
	await context.putExecutionToWait(new WakeUp(wakesAt));
}

export function runIndexOf(context: IExecuteFunctions): number {
	return context.evaluateExpression('{{ $runIndex }}', 0) as number;
}

/**
 * Whether the callback that asks first may resume the execution. n8n 1 lets two callbacks, or a
 * callback and the timer, resume it twice; so close to the timer it is left to the timer.
 */
export function mayResume(context: IWebhookFunctions, wait: Wait, now: number): boolean {
	const name = `${context.getExecutionId()} ${context.getNode().id} ${wait.runIndex}`;
	if (wait.wakesAt - now < TIMER_SET_BEFORE || resumed.has(name)) return false;
	resumed.add(name);
	if (resumed.size > MAX_RESUMED) resumed.delete(resumed.values().next().value as string);
	return true;
}
