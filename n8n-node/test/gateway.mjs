// A gateway that answers as the test says, and remembers what it was asked.
import { once } from 'node:events';
import { createServer } from 'node:http';

/**
 * `answers` come in turn, the last one for ever: `[status, body, headers]`. Each of `requests` has
 * `method`, `path`, `query`, `headers` and `body`.
 */
export async function serve(context, ...answers) {
	const requests = [];
	const server = createServer(async (request, response) => {
		const text = (await request.toArray()).join('');
		const { pathname, searchParams } = new URL(request.url, 'http://gateway.example.com');
		requests.push({
			method: request.method,
			path: pathname,
			query: Object.fromEntries(searchParams),
			headers: request.headers,
			body: text && JSON.parse(text),
		});
		const [status, body, headers = {}] = answers.length > 1 ? answers.shift() : answers[0];
		const isText = typeof body === 'string';
		response.writeHead(status, {
			'Content-Type': isText ? 'text/html' : 'application/json',
			...headers,
		});
		response.end(isText ? body : JSON.stringify(body));
	});
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	context.after(() => server.close());
	return { url: `http://127.0.0.1:${server.address().port}`, requests };
}
