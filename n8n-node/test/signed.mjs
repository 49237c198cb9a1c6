// A request as the gateway signs it: for tests.
import { createHmac } from 'node:crypto';

export const SECRET = `whsec_${Buffer.from('a secret of the tests').toString('base64')}`;

export function signed(body, { at = Date.now(), id = 'evt_1', secret = SECRET } = {}) {
	const timestamp = String(Math.floor(at / 1000));
	const rawBody = Buffer.from(body);
	const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
	const signature = createHmac('sha256', key)
		.update(`${id}.${timestamp}.${rawBody}`)
		.digest('base64');
	const headers = {
		'webhook-id': id,
		'webhook-timestamp': timestamp,
		'webhook-signature': `v1,${signature}`,
	};
	return { headers, rawBody };
}
