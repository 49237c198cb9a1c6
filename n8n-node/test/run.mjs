// Executes the node as each setup in the JSON array on stdin says, in turn, and prints the `json`
// of the items that it returns each time.
import { text } from 'node:stream/consumers';

import { execute } from './context.mjs';

const results = [];
for (const setup of JSON.parse(await text(process.stdin))) {
	const items = await execute(setup);
	results.push(items.map(({ json }) => json));
}
console.log(JSON.stringify(results));
