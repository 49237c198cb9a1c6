// One JSON array of verbs a line on stdin; per line "ok" or the vendor's complaint on stdout.
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
