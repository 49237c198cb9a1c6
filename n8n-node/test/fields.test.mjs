// How an item's columns and a person's fields become a request.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fields from '../dist/nodes/JambonzLivekitGateway/fields.js';

test('columns with the name of a field are that field, the others metadata', () => {
	const row = { Destination: 15550100, 'Account code': 'em-tech-01', Name: 'Łucja', row_number: 2 };
	assert.deepEqual(fields.fromColumns(row), {
		destination: 15550100,
		account_code: 'em-tech-01',
		metadata: { Name: 'Łucja', row_number: 2 },
	});
});

test('empty cells are left out', () => {
	const row = { destination: '+15550100', caller_name: ' ', wait: '', Note: null, tags: [] };
	assert.deepEqual(fields.fromColumns(row), { destination: '+15550100' });
});

test('a column metadata is an object beside the other columns', () => {
	const row = { destination: '+15550100', metadata: '{"ticket": 7}', Note: 'x' };
	assert.deepEqual(fields.fromColumns(row).metadata, { Note: 'x', ticket: 7 });
});

test('what is no JSON object names its field', () => {
	for (const text of ['{', '[1]', 'null']) {
		assert.throws(() => fields.parsed({ session_options: text }), /^TypeError: session_options: /);
	}
});
