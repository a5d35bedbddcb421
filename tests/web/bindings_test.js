// What scripts/web.sh built, in Node: a picture is computed, errors come back as texts, LeNet-5 trains
// and its weights are a safetensors file. usage: node bindings_test.js build/web/apps/web/cks.js
'use strict';
const assert = require('assert');
const fs = require('fs');
const path = process.argv[2];
const wasmBinary = fs.readFileSync(path.replace(/js$/, 'wasm'));

require(require('path').resolve(path))({wasmBinary}).then((cks) => {
  const picture = (...sizes) => {
    const json = cks._cks_conv_picture(...sizes);
    return json ? JSON.parse(cks.UTF8ToString(json)) : cks.UTF8ToString(cks._cks_error());
  };
  // kernels/conv2d/ALGORITHMS.md: a 4x4 image, a 3x3 filter, padding 1, stride 2.
  const example = picture(4, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1);
  assert.deepStrictEqual(example.rows.classes, [[1], [2, 0]]);
  assert.strictEqual(example.passes.backward_data.executed, 25);
  assert.strictEqual(example.passes.backward_data.plain, 144);
  assert.match(picture(2, 2, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 1), /the filter exceeds the padded input/);

  const numbers = (pointer, count) => Array.from(cks.HEAPF64.subarray(pointer / 8, pointer / 8 + count));
  assert.strictEqual(cks._cks_lesson_step(), 0);
  assert.match(cks.UTF8ToString(cks._cks_error()), /not begun/);
  assert.strictEqual(cks._cks_lesson_begin(1, 6000, 1000, 64, 5e-3, 3), 1);
  const begin = Date.now();
  let step;
  do {
    step = numbers(cks._cks_lesson_step(), 7);
  } while (step[0] < step[6]);
  assert.deepStrictEqual(step.slice(5), [94, 282]);
  const seconds = (Date.now() - begin) / 1000;
  const [, accuracy] = numbers(cks._cks_lesson_evaluate(), 2);
  assert.ok(accuracy >= 0.97, `accuracy ${accuracy}`);
  const name = cks._malloc(32);
  Buffer.from(cks.HEAPU8.buffer).write('/weights.safetensors\0', name);
  assert.strictEqual(cks._cks_lesson_save(name), 1);
  const file = Buffer.from(cks.FS.readFile('/weights.safetensors'));
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))));
  assert.strictEqual(header.__metadata__['cks.model'], 'lenet5');
  assert.deepStrictEqual(header['conv1.weight'].shape, [6, 1, 5, 5]);
  // The bits of what two convolutions make of a digit: those of lenet_lesson_test.cpp, a native build.
  assert.strictEqual(cks._cks_lesson_begin(1, 10, 1, 10, 1e-3, 1), 1);
  const [digit, count] = [cks._malloc(784), cks._malloc(4)];
  const image = cks._cks_lesson_test_image(0, count);
  cks.HEAPU8.copyWithin(digit, image, image + 784);
  cks._cks_lesson_predict(digit);
  let hash = 0x811c9dc5;  // FNV-1a
  for (const map of ['conv1', 'conv2']) {
    Buffer.from(cks.HEAPU8.buffer).write(map + '\0', name);
    const begin = cks._cks_lesson_values(name, count);
    for (let at = begin; at < begin + 4 * cks.HEAP32[count / 4]; ++at) hash = Math.imul(hash ^ cks.HEAPU8[at], 0x01000193) >>> 0;
  }
  assert.strictEqual(hash, 0x78763ef2);
  // Digits that a page brings: 20 of one brightness each, a label of 10 refused.
  const [pixels, labels] = [cks._malloc(20 * 784), cks._malloc(20)];
  for (let i = 0; i < 20; ++i) {
    cks.HEAPU8.fill(20 + 11 * (i % 10), pixels + 784 * i, pixels + 784 * (i + 1));
    cks.HEAPU8[labels + i] = i % 10;
  }
  const beginWith = () => cks._cks_lesson_begin_with(1, pixels, labels, 20, pixels, labels, 20, 10, 1e-3, 1);
  assert.strictEqual(beginWith(), 1);
  assert.deepStrictEqual(numbers(cks._cks_lesson_step(), 7).filter((_, i) => i < 2 || i > 4), [1, 10, 2, 2]);
  cks.HEAPU8[labels + 3] = 10;
  assert.strictEqual(beginWith(), 0);
  assert.match(cks.UTF8ToString(cks._cks_error()), /label/);
  console.log(`LeNet-5: ${step[1]} images in ${seconds.toFixed(1)} s, test accuracy ${(100 * accuracy).toFixed(1)} %`);
}).catch((error) => {
  console.error(error);
  process.exit(1);
});
