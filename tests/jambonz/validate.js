// Reads JSON arrays of verbs from stdin, one a line; writes "ok" or the error message for each.
const readline = require('readline');
const {validate} = require('@jambonz/verb-specifications');

const logger = {info() {}, debug() {}, error() {}};

readline.createInterface({input: process.stdin}).on('line', (line) => {
  let verdict = 'ok';
  try {
    const verbs = JSON.parse(line);
    if (!Array.isArray(verbs) || verbs.length === 0) throw new Error('not a non-empty array');
    validate(logger, verbs);
  } catch (err) {
    verdict = err.message;
  }
  process.stdout.write(`${verdict.replace(/\n/g, ' ')}\n`);
});
