// Pictures of LeNet-5 learning: trains it as the page of docs/book/train.md does, once, and draws what it saw.
'use strict';

const SEED = 1;
const SHOWN = [0, 20, 94, 752];  // steps whose filters are kept; an epoch has 94, the cycle 8 of them
const LAYERS = ['conv1', 'conv2', 'fc1', 'fc2', 'fc3'];
const SIDE = 28;

function train(cks) {
  const call = (name, ...given) => {
    const result = cks[name](...given);
    if (!result) throw new Error(cks.UTF8ToString(cks._cks_error()));
    return result;
  };
  const count = cks._malloc(4);
  const values = (name) => {
    const pointer = cks._malloc(name.length + 1);
    Buffer.from(cks.HEAPU8.buffer).write(name + '\0', pointer);
    const at = call('_cks_lesson_values', pointer, count) / 4;
    cks._free(pointer);
    return Array.from(cks.HEAPF32.subarray(at, at + cks.HEAP32[count / 4]));
  };
  const evaluate = () => cks.HEAPF64[call('_cks_lesson_evaluate') / 8 + 1];
  const rms = (list) => Math.sqrt(list.reduce((sum, v) => sum + v * v, 0) / list.length);

  call('_cks_lesson_begin', SEED, 6000, 1000, 64, 5e-3, 8);
  const seen = {filters: [], losses: [], accuracies: [[0, evaluate()]], gradients: []};
  for (let step = 0; step <= SHOWN[SHOWN.length - 1]; ++step) {
    if (step > 0) {
      seen.losses.push(cks.HEAPF64[call('_cks_lesson_step') / 8 + 2]);
      seen.gradients.push(LAYERS.map((layer) => rms(values(`${layer}.weight.grad`))));
      if (step % 47 === 0) seen.accuracies.push([step, evaluate()]);
    }
    if (SHOWN.includes(step)) seen.filters.push(values('conv1.weight'));
  }
  let image;
  for (let i = 0; seen.label !== 5; ++i) {  // the first 5 of the test
    image = call('_cks_lesson_test_image', i, count);
    seen.label = cks.HEAP32[count / 4];
  }
  const pixels = cks._malloc(SIDE * SIDE);
  cks.HEAPU8.copyWithin(pixels, image, image + SIDE * SIDE);
  seen.image = Array.from(cks.HEAPU8.subarray(pixels, pixels + SIDE * SIDE));
  const at = call('_cks_lesson_predict', pixels) / 4;
  seen.probabilities = Array.from(cks.HEAPF32.subarray(at, at + 10));
  seen.maps = [values('conv1'), values('conv2')];
  return seen;
}

/// A square of values as an image: blue below zero, orange above, white at zero; as BMP, which is 54 bytes of
/// header and rows of bytes.
function tile(list, side, x, y, edge, label) {
  const greatest = list.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-30);
  const row = Math.ceil(side * 3 / 4) * 4;
  const file = Buffer.alloc(54 + row * side);
  file.write('BM');
  file.writeUInt32LE(file.length, 2);
  file.writeUInt32LE(54, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(side, 18);
  file.writeInt32LE(-side, 22);  // rows from the top
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(24, 28);
  list.forEach((value, i) => {
    const share = Math.abs(value) / greatest;
    const full = value < 0 ? [178, 114, 0] : [0, 94, 213];  // blue, green, red
    full.forEach((part, k) => {
      file[54 + Math.floor(i / side) * row + (i % side) * 3 + k] = Math.round(255 + share * (part - 255));
    });
  });
  return `<image x="${x}" y="${y}" width="${edge}" height="${edge}" style="image-rendering:pixelated" ` +
    `href="data:image/bmp;base64,${file.toString('base64')}"><title>${label}</title></image>`;
}

const svg = (width, height, label, body) => `<figure class="drawing"><div class="wide"><svg role="img" ` +
  `viewBox="0 0 ${width} ${height}" aria-label="${label}">${body}</svg></div>`;
const text = (x, y, words, classes = '') => `<text x="${x}" y="${y}" class="${classes}">${words}</text>`;
const plane = (list, side, channels, k) => Array.from({length: side * side}, (_, i) => list[i * channels + k]);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const pictures = {
  filters: (seen) => svg(640, 250, 'The six filters of conv1 at four times', seen.filters.map((filters, row) =>
    text(0, 34 + 62 * row, row ? `after step ${SHOWN[row]}` : 'as drawn') + Array.from({length: 6}, (_, k) =>
      tile(filters.slice(25 * k, 25 * k + 25), 5, 120 + 62 * k, 4 + 62 * row, 56, `filter ${k}, step ${SHOWN[row]}`)).join('')).join('')),

  maps: (seen) => {
    const best = seen.probabilities.indexOf(Math.max(...seen.probabilities));
    const body = text(0, 12, 'input') + tile(seen.image, SIDE, 0, 18, 84, 'input') + text(104, 12, 'conv1: 6 maps of 28 × 28') +
      Array.from({length: 6}, (_, k) => tile(plane(seen.maps[0], 28, 6, k), 28, 104 + 88 * k, 18, 84, `map ${k}`)).join('') +
      text(0, 126, 'conv2: 16 maps of 10 × 10') + Array.from({length: 16}, (_, k) =>
        tile(plane(seen.maps[1], 10, 16, k), 10, 79 * (k % 8), 132 + 79 * Math.floor(k / 8), 75, `map ${k}`)).join('');
    return svg(640, 292, 'What the two convolutions make of a digit', body) +
      `<p class="said">A ${seen.label} of the test: LeNet-5 says ${best}, with a probability of ${percent(seen.probabilities[best])}.</p>`;
  },

  loss: (seen) => {
    const last = seen.losses.length;
    const x = (n) => (40 + 540 * n / last).toFixed(1);
    const line = (points, y) => points.map(([n, v]) => `${x(n)},${y(v).toFixed(1)}`).join(' ');
    const ofLoss = (v) => 150 - 52 * Math.min(v, 2.5);
    const ofShare = (v) => 150 - 130 * v;
    const [, accuracy] = seen.accuracies[seen.accuracies.length - 1];
    return svg(640, 175, 'Loss of each batch and test accuracy', '<path class="stroke" d="M40 20V150H580V20"/>' +
      text(36, 24, '2.5', 'end') + text(36, 154, '0', 'end') + text(586, 24, '100 %') + text(586, 154, '0') +
      [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `<path class="faint" d="M${x(94 * n)} 20V150"/>` + text(x(94 * n), 168, `epoch ${n}`, 'middle')).join('') +
      `<polyline class="line-a" points="${line(seen.losses.map((v, i) => [i + 1, v]), ofLoss)}"/>` +
      `<polyline class="line-b" points="${line(seen.accuracies, ofShare)}"/>` +
      text(60, 14, 'loss of each batch (left)') + text(570, 14, 'test accuracy (right, dashed)', 'end')) +
      `<p class="said">First batch: loss ${seen.losses[0].toFixed(2)}, accuracy before it ${percent(seen.accuracies[0][1])}. ` +
      `After one epoch of ${SHOWN[2]} steps ${percent(seen.accuracies.find(([n]) => n === 94)[1])}, after eight ${percent(accuracy)}.</p>`;
  },

  gradients: (seen) => {
    // Means of ten steps, on a scale whose steps are powers of ten.
    const means = (k) => Array.from({length: Math.floor(seen.gradients.length / 10)}, (_, i) =>
      seen.gradients.slice(10 * i, 10 * i + 10).reduce((sum, step) => sum + step[k], 0) / 10);
    const all = LAYERS.map((_, k) => means(k));
    const [low, high] = [Math.floor(Math.log10(Math.min(...all.flat()))), Math.ceil(Math.log10(Math.max(...all.flat())))];
    const y = (v) => 150 - 130 * (Math.log10(v) - low) / (high - low);
    // Names beside the ends of their lines, 12 apart.
    const names = LAYERS.map((layer, k) => ({layer, k, y: y(all[k][all[k].length - 1]) + 4})).sort((a, b) => a.y - b.y);
    names.forEach((name, i) => { if (i > 0) name.y = Math.max(name.y, names[i - 1].y + 12); });
    const ticks = Array.from({length: high - low + 1}, (_, i) => low + i);
    return svg(640, 170, 'The size of the gradients of each layer', '<path class="stroke" d="M50 20V150H560"/>' +
      ticks.map((p) => text(46, y(10 ** p) + 4, `10<tspan dy="-4" font-size="8">${String(p).replace('-', '−')}</tspan>`, 'end')).join('') +
      all.map((list, k) => `<polyline class="line-${'abcde'[k]}" points="${list.map((v, i) =>
        `${(50 + 510 * (i + .5) / list.length).toFixed(1)},${y(v).toFixed(1)}`).join(' ')}"/>`).join('') + names.map((name) => text(566, name.y.toFixed(1), name.layer)).join('') + text(305, 166, `${seen.losses.length} steps`, 'middle'));
  },
};

let seen;
/// HTML of one of the pictures; its caption follows.
module.exports = (cks, name) => {
  if (!(name in pictures)) throw new Error(`no picture "${name}" of LeNet-5: ${Object.keys(pictures).join(', ')}`);
  seen = seen || train(cks);
  return pictures[name](seen);
};
