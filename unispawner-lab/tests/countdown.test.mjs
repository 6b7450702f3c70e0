// Tests of what needs no page, on what tsc has made of src/. `npm test` runs them with node's own runner.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

async function load(name) {
  const text = readFileSync(new URL(`../lib/${name}.js`, import.meta.url), 'utf8');
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
}

const { Countdown, readAnswer, split } = await load('countdown');
const words = await load('words');
const trans = { __: (text, ...values) => text.replace(/%(\d)/g, (_, n) => values[n - 1]) };
const answer = (time_left, more = {}) => ({ time_left, end: null, reason: '', warnings: [300, 900], ...more });

function counting() {
  const clock = { now: 0 };
  return [clock, new Countdown(() => clock.now)];
}

test('The time left runs with the steady clock from the moment of the answer.', () => {
  const [clock, countdown] = counting();
  assert.equal(countdown.left(), null);
  countdown.take(answer(1000));
  clock.now += 400_000;
  assert.equal(countdown.left(), 600);
  clock.now += 4_000_000;
  assert.equal(countdown.left(), 0);
});

test('Each warning is due once, and a late beginning gives a single one.', () => {
  const [clock, countdown] = counting();
  countdown.take(answer(901));
  assert.equal(countdown.isDue(), false);
  clock.now += 1000;
  assert.equal(countdown.isDue(), true);
  assert.equal(countdown.isDue(), false);
  clock.now += 600_000;
  countdown.take(answer(299));
  assert.equal(countdown.isDue(), true);
  assert.equal(countdown.isDue(), false);
  const [, late] = counting();
  late.take(answer(100));
  assert.deepEqual([late.isDue(), late.isDue(), late.isSoon()], [true, false, true]);
});

test('After an extension the warnings that lie ahead are due again.', () => {
  const [clock, countdown] = counting();
  countdown.take(answer(800));
  assert.equal(countdown.isDue(), true);
  countdown.take(answer(8 * 3600));
  assert.deepEqual([countdown.isDue(), countdown.isSoon()], [false, false]);
  clock.now += (8 * 3600 - 899) * 1000;
  assert.equal(countdown.isDue(), true);
});

test('A session without an end has no countdown and no warning.', () => {
  const [, countdown] = counting();
  countdown.take(answer(null));
  assert.deepEqual([countdown.left(), countdown.isDue(), countdown.isSoon()], [null, false, false]);
});

test('An answer of another shape is refused, and single wrong values are left out.', () => {
  for (const wrong of [null, 'text', [], {}, { time_left: '5' }, { time_left: NaN }]) {
    assert.equal(readAnswer(wrong), null);
  }
  const odd = readAnswer({ time_left: -5, end: 7, reason: {}, warnings: ['a', -1, 60] });
  assert.deepEqual(odd, { time_left: 0, end: null, reason: '', warnings: [60] });
});

test('The status bar shows two units at most.', () => {
  const expected = new Map([
    [59, 'Less than 1 min left'],
    [60, '1 min left'],
    [72 * 60, '1 h 12 min left'],
    [26 * 3600 + 59, '1 d 2 h left']
  ]);
  for (const [seconds, text] of expected) {
    assert.equal(words.shortLeft(trans, split(seconds)), text);
  }
});

test('A warning has the reason of an early end.', () => {
  const text = words.warning(trans, '4 min left', '14:20', 'It is being stopped.');
  assert.match(text, /ends at 14:20 \(4 min left\).*It is being stopped\./);
});
