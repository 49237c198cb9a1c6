// Whether a request is the gateway's: https://www.standardwebhooks.com. Pure.
import { createHmac, timingSafeEqual } from 'node:crypto';

/** In s: how much the clocks may differ, and how old a replayed request may be. */
const TOLERANCE = 300;
const PREFIX = 'whsec_';

export interface SignedRequest {
	headers: Record<string, string | string[] | undefined>;
	/** The body as it was sent. */
	rawBody: Buffer;
}

/** Whether `request` is signed with `secret` (`whsec_…`); `now` in ms since epoch. */
export function isSigned(request: SignedRequest, secret: string, now: number): boolean {
	const header = (name: string) => String(request.headers[`webhook-${name}`] ?? '');
	const [id, timestamp] = [header('id'), header('timestamp')];
	const age = Math.abs(now / 1000 - Number(timestamp));
	if (!id || !/^\d+$/.test(timestamp) || age > TOLERANCE) return false;
	const key = Buffer.from(secret.trim().replace(PREFIX, ''), 'base64');
	const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), request.rawBody]);
	const expected = createHmac('sha256', key).update(signed).digest();
	return header('signature')
		.split(' ')
		.filter((signature) => signature.startsWith('v1,'))
		.map((signature) => Buffer.from(signature.slice('v1,'.length), 'base64'))
		.some((given) => given.length === expected.length && timingSafeEqual(given, expected));
}
