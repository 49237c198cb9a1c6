// Which of the gateway's events a trigger lets through, and which came before. Pure.
import { createHash } from 'node:crypto';

export interface CallEvent {
	event: string;
	event_id: string;
	call: { direction?: string; disconnection_reason?: string | null };
}

/** What a person selects; an empty list lets everything through. */
export interface EventFilter {
	events: string[];
	directions: string[];
	reasons: string[];
}

/** An id is repeated for an hour at most; what is stored is 9 characters of each. */
const MAX_IDS = 2000;
const ID_LENGTH = 9;

export function isEvent(body: unknown): body is CallEvent {
	const { event, event_id, call } = (body ?? {}) as Partial<CallEvent>;
	const isNamed = typeof event === 'string' && typeof event_id === 'string';
	return isNamed && typeof call === 'object' && call !== null;
}

export function passes({ event, call }: CallEvent, filter: EventFilter): boolean {
	const matches = (allowed: string[], value?: string | null) =>
		allowed.length === 0 || (typeof value === 'string' && allowed.includes(value));
	return (
		matches(filter.events, event) &&
		matches(filter.directions, call.direction) &&
		matches(filter.reasons, call.disconnection_reason)
	);
}

/** The ids of the last events, oldest first, as a text that is short enough to be stored each time. */
export class SeenIds {
	private readonly ids: Set<string>;

	constructor(stored: string) {
		this.ids = new Set(stored.match(new RegExp(`.{${ID_LENGTH}}`, 'g')));
	}

	/** Whether the id is new; it is not any more. */
	add(eventId: string): boolean {
		const id = createHash('sha256').update(eventId).digest('base64url').slice(0, ID_LENGTH);
		if (this.ids.has(id)) return false;
		this.ids.add(id);
		if (this.ids.size > MAX_IDS) this.ids.delete(this.ids.values().next().value as string);
		return true;
	}

	toString(): string {
		return [...this.ids].join('');
	}
}
