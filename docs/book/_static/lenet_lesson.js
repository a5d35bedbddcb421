// LeNet-5 trains in the page: every step, prediction, filter and map is the library's
// (apps/web/lenet_lesson.h); this file draws them.
'use strict';

addEventListener('DOMContentLoaded', () => {
  const root = document.querySelector('.lenet-lesson');
  if (!root) return;

  const SIDE = 28;
  const RATE = 0.005;
  const MILLISECONDS = 25;  // of training at a time, so that the page answers
  const BETWEEN = 250;      // milliseconds between two drawings, of which one takes a dozen
  const SHOWN = 120000;     // images that a cycle shows, 2 to 8 times each
  let cks, numbers;
  let state = {sample: 0};
  const {port1: turn, port2: wish} = new MessageChannel();  // the next slice comes without waiting for a frame
  let wished = false;
  let brought = null;  // {train: {images, labels, count}, test} in the library's memory; null: drawn digits

  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const canvas = (name, width, height) => `<canvas data-part="${name}" width="${width}" height="${height}"></canvas>`;

  root.innerHTML =
    `<div class="controls"><button type="button" data-part="run">▶ train</button>` +
    `<button type="button" data-part="one">one step</button><button type="button" data-part="again">start anew</button>` +
    `<label>highest learning rate <select data-part="rate">${[0.1, 0.03, RATE, 0.001, 0].map((rate) =>
      `<option value="${rate}"${rate === RATE ? ' selected' : ''}>${rate}</option>`).join('')}</select></label>` +
    `<label>epochs <input type="number" data-part="epochs" min="1" max="100" value="8"></label>` +
    `<label>seed <input type="number" data-part="seed" min="0" max="999999" value="1"></label>` +
    `<button type="button" data-part="download">download weights</button>` +
    `<label>your own digits <input type="file" data-part="files" multiple title="the four files of MNIST, also .gz"></label></div>` +
    `<p class="status" data-part="status" role="status">loading the library …</p>` +
    `<svg data-part="curve" viewBox="0 0 640 170" role="img" aria-label="loss and test accuracy"></svg>` +
    `<div class="panels"><figure>${canvas('pad', 224, 224)}<figcaption>Draw a digit here, or take one of the test: ` +
    `<button type="button" data-part="clear">clear</button> <button type="button" data-part="sample">next of the test</button>` +
    `</figcaption></figure><figure><div data-part="bars" class="bars"></div><figcaption data-part="answer">&nbsp;</figcaption></figure></div>` +
    `<div class="panels maps"><figure>${canvas('filters', 6 * 44, 40)}<figcaption>the 6 filters of conv1</figcaption></figure>` +
    `<figure>${canvas('gradients', 6 * 44, 40)}<figcaption>their gradients in the last step</figcaption></figure>` +
    `<figure>${canvas('maps1', 6 * 60, 56)}<figcaption>what conv1 makes of the digit</figcaption></figure>` +
    `<figure>${canvas('maps2', 8 * 44, 2 * 44)}<figcaption>what conv2 makes of it: 16 maps of 10 × 10</figcaption></figure></div>`;

  const pad = part('pad').getContext('2d', {willReadFrequently: true});

  function fail(error) {
    stop();
    part('status').textContent = error.message;
  }

  /// Calls a function of the library; an Error with its message where it returns 0.
  function call(name, ...given) {
    const result = cks[name](...given);
    if (!result) throw new Error(cks.UTF8ToString(cks._cks_error()));
    return result;
  }

  /// The whole number in a field; where it holds none, its first value again.
  function whole(name) {
    const field = part(name);
    if (!field.validity.valid || field.value === '') field.value = field.defaultValue;
    return Number(field.value);
  }

  function begin() {
    stop();
    const [seed, rate, epochs] = [whole('seed'), Number(part('rate').value), whole('epochs')];
    if (brought) {
      const halves = [brought.train, brought.test].flatMap(({images, labels, count}) => [images, labels, count]);
      call('_cks_lesson_begin_with', seed, ...halves, 64, rate, epochs);
    } else {
      call('_cks_lesson_begin', seed, 6000, 1000, 64, rate, epochs);
    }
    state = {steps: 0, losses: [], accuracies: [], sample: state.sample, seconds: 0};
    evaluate();
    show();
  }

  function step() {
    const at = call('_cks_lesson_step') / 8;
    const [steps, images, loss, , rate, perEpoch, cycle] = cks.HEAPF64.subarray(at, at + 7);
    Object.assign(state, {steps, images, rate, perEpoch, cycle});
    state.losses.push(loss);
    if (steps % Math.round(perEpoch / 2) === 0 || steps % cycle === 0) evaluate();
  }

  function evaluate() {
    const at = call('_cks_lesson_evaluate') / 8;
    state.accuracies.push([state.steps, cks.HEAPF64[at + 1]]);
  }

  /// A slice of training; stops where a cycle ends.
  function slice() {
    if (!state.running) return;
    try {
      const start = performance.now();
      do step(); while (performance.now() - start < MILLISECONDS && state.steps % state.cycle !== 0);
      const now = performance.now();
      state.seconds += (now - start) / 1000;
      if (state.steps % state.cycle === 0) stop();
      if (!state.running || now - state.drawn > BETWEEN) {
        state.drawn = now;
        show();
      }
      if (state.running) goOn();
    } catch (error) {
      fail(error);
    }
  }

  function goOn() {
    if (!wished) wish.postMessage(null);
    wished = true;
  }

  function stop() {
    state.running = false;
    part('run').textContent = '▶ train';
  }

  function show() {
    const accuracy = state.accuracies[state.accuracies.length - 1][1];
    const loss = state.losses.length ? state.losses[state.losses.length - 1].toFixed(4) : '–';
    const epochs = state.perEpoch ? (state.steps / state.perEpoch).toFixed(1) : '0.0';
    part('status').textContent = `step ${state.steps} (epoch ${epochs}), loss ${loss}, ` +
      `test accuracy ${(100 * accuracy).toFixed(2)} %` +
      (state.steps ? `, learning rate ${state.rate.toPrecision(2)}` : '') +
      (state.seconds ? `, ${Math.round(state.images / state.seconds).toLocaleString('en')} images a second` : '');
    drawCurve();
    predict();
  }

  function drawCurve() {
    const last = Math.max(state.steps, 100);
    const x = (n) => 40 + 560 * n / last;
    const y = (loss) => 150 - 130 * Math.min(loss, 2.5) / 2.5;
    const every = Math.max(1, Math.floor(state.losses.length / 280));
    const losses = state.losses.map((loss, i) => [i + 1, loss]).filter((_, i) => i % every === 0);
    const line = (points, to) => points.map(([n, v]) => `${x(n).toFixed(1)},${to(v).toFixed(1)}`).join(' ');
    const ofOne = (share) => 150 - 130 * share;
    part('curve').innerHTML =
      `<path class="axis" d="M40 20V150H600V20"/><text x="36" y="24" class="end">2.5</text><text x="36" y="154" class="end">0</text>` +
      `<text x="604" y="24">100 %</text><text x="604" y="154">0</text><text x="320" y="168" class="middle">${state.steps} steps</text>` +
      `<polyline class="loss" points="${line(losses, y)}"/><polyline class="accuracy" points="${line(state.accuracies, ofOne)}"/>` +
      `<text x="60" y="16" class="loss-name">loss of each batch (left)</text><text x="580" y="16" class="accuracy-name end">test accuracy (right, dashed)</text>`;
  }

  /// The pad as 28 x 28 bytes: each the mean of a square of 8 x 8.
  function pixels() {
    const {data} = pad.getImageData(0, 0, 224, 224);
    const bytes = new Uint8Array(SIDE * SIDE);
    for (let r = 0; r < SIDE; ++r) {
      for (let c = 0; c < SIDE; ++c) {
        let sum = 0;
        for (let i = 0; i < 64; ++i) sum += data[4 * ((8 * r + (i >> 3)) * 224 + 8 * c + (i & 7))];
        bytes[r * SIDE + c] = sum / 64;
      }
    }
    return bytes;
  }

  function values(name) {
    const pointer = cks._malloc(name.length + 1);
    cks.HEAPU8.set([...name].map((letter) => letter.charCodeAt(0)).concat(0), pointer);
    const at = cks._cks_lesson_values(pointer, numbers) / 4;
    cks._free(pointer);
    return at ? Array.from(cks.HEAPF32.subarray(at, at + cks.HEAP32[numbers / 4])) : null;
  }

  /// Squares side by side, each a plane of `side` x `side` whose elements are `stride` apart: blue below
  /// zero, orange above.
  function drawPlanes(name, list, side, count, pixelStride, at, columns, edge) {
    const context = part(name).getContext('2d');
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    if (!list) return;
    const greatest = list.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
    const size = edge / side;
    for (let k = 0; k < count; ++k) {
      for (let i = 0; i < side * side; ++i) {
        const value = list[at(k) + i * pixelStride] / greatest;
        context.fillStyle = value < 0 ? `rgba(0, 114, 178, ${-value})` : `rgba(213, 94, 0, ${value})`;
        context.fillRect((k % columns) * (edge + 4) + (i % side) * size, Math.floor(k / columns) * (edge + 4) + Math.floor(i / side) * size,
          size + 0.5, size + 0.5);
      }
    }
  }

  function predict() {
    const bytes = pixels();
    const pointer = cks._malloc(bytes.length);
    cks.HEAPU8.set(bytes, pointer);
    const at = call('_cks_lesson_predict', pointer) / 4;
    cks._free(pointer);
    const probabilities = Array.from(cks.HEAPF32.subarray(at, at + 10));
    const best = probabilities.indexOf(Math.max(...probabilities));
    part('bars').innerHTML = probabilities.map((p, digit) =>
      `<div class="bar${digit === best ? ' best' : ''}"><b>${digit}</b><i style="width:${(100 * p).toFixed(1)}%"></i>` +
      `<span>${(100 * p).toFixed(0)} %</span></div>`).join('');
    const empty = bytes.every((byte) => byte === 0);
    part('answer').textContent = empty ? 'an empty page' : `LeNet-5 says ${best}` +
      (state.label === undefined ? '' : `, the test ${state.label}`);
    root.dataset.answer = empty ? '' : best;
    drawPlanes('filters', values('conv1.weight'), 5, 6, 1, (k) => 25 * k, 6, 40);
    drawPlanes('gradients', values('conv1.weight.grad'), 5, 6, 1, (k) => 25 * k, 6, 40);
    drawPlanes('maps1', values('conv1'), 28, 6, 6, (k) => k, 6, 56);
    drawPlanes('maps2', values('conv2'), 10, 16, 16, (k) => k, 8, 40);
  }

  function clear() {
    pad.fillStyle = '#000';
    pad.fillRect(0, 0, 224, 224);
    state.label = undefined;
  }

  function sample() {
    const at = call('_cks_lesson_test_image', state.sample, numbers);
    const image = pad.createImageData(224, 224);
    for (let i = 0; i < 224 * 224; ++i) {
      const ink = cks.HEAPU8[at + (i / 224 >> 3) * SIDE + (i % 224 >> 3)];
      image.data.set([ink, ink, ink, 255], 4 * i);
    }
    pad.putImageData(image, 0, 0);
    state.label = cks.HEAP32[numbers / 4];
    state.sample = (state.sample + 1) % (brought ? brought.test.count : 1000);
    predict();
  }

  /// The bytes of a file of MNIST's format, unpacked: {kind: "images" or "labels", count, bytes}.
  async function readIdx(file) {
    let bytes = new Uint8Array(await file.arrayBuffer());
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
      const unpacked = file.stream().pipeThrough(new DecompressionStream('gzip'));
      bytes = new Uint8Array(await new Response(unpacked).arrayBuffer().catch(() => { throw new Error(`${file.name}: broken gzip`); }));
    }
    const number = (at) => new DataView(bytes.buffer).getUint32(at);
    const magic = bytes.length >= 8 ? number(0) : 0;
    if (magic !== 0x803 && magic !== 0x801) throw new Error(`${file.name}: no file of images or labels as MNIST has them`);
    const images = magic === 0x803;
    const [count, head, size] = [number(4), images ? 16 : 8, images ? SIDE * SIDE : 1];
    if (images && (bytes.length < head || number(8) !== SIDE || number(12) !== SIDE)) throw new Error(`${file.name}: images must be 28 × 28`);
    if (count === 0 || bytes.length !== head + count * size) {
      throw new Error(`${file.name}: ${bytes.length} bytes, expected ${head + count * size} for ${count} ${images ? 'images' : 'labels'}`);
    }
    const wrong = images ? -1 : bytes.findIndex((label, i) => i >= head && label > 9);
    if (wrong >= 0) throw new Error(`${file.name}: label ${bytes[wrong]} at byte ${wrong}, expected 0 to 9`);
    return {kind: images ? 'images' : 'labels', count, bytes: bytes.subarray(head)};
  }

  /// Takes four files: images and labels for training (names with "train") and for the test.
  async function bring(files) {
    stop();
    part('status').textContent = 'reading …';
    const halves = {train: {}, test: {}};
    for (const file of files) {
      const half = halves[/train/i.test(file.name) ? 'train' : 'test'];
      const read = await readIdx(file);
      if (half[read.kind]) throw new Error(`${file.name}: there are ${read.kind} already; training files have "train" in their names`);
      half[read.kind] = read;
    }
    for (const [name, {images, labels}] of Object.entries(halves)) {
      if (!images || !labels) throw new Error(`the ${images ? 'labels' : 'images'} for ${name === 'train' ? 'training' : 'the test'} are missing: choose four files`);
      if (images.count !== labels.count) throw new Error(`${name}: ${images.count} images, but ${labels.count} labels`);
    }
    const given = (bytes) => {
      const pointer = cks._malloc(bytes.length);
      cks.HEAPU8.set(bytes, pointer);
      return pointer;
    };
    const before = brought;
    const half = ({images, labels}) => ({images: given(images.bytes), labels: given(labels.bytes), count: images.count});
    brought = {train: half(halves.train), test: half(halves.test)};
    part('epochs').value = Math.min(8, Math.max(2, Math.round(SHOWN / brought.train.count)));
    state.sample = 0;
    begin();
    if (before) [before.train, before.test].forEach(({images, labels}) => { cks._free(images); cks._free(labels); });
    sample();
  }

  function listen() {
    turn.onmessage = () => { wished = false; slice(); };
    part('files').addEventListener('change', () => bring([...part('files').files]).catch(fail));
    root.addEventListener('dragover', (event) => event.preventDefault());
    root.addEventListener('drop', (event) => {
      event.preventDefault();
      bring([...event.dataTransfer.files]).catch(fail);
    });
    const on = (name, event, does) => part(name).addEventListener(event, (given) => {
      try {
        does(given);
      } catch (error) {
        fail(error);
      }
    });
    on('run', 'click', () => {
      if (state.running) { stop(); return; }
      Object.assign(state, {running: true, drawn: 0});
      part('run').textContent = '❚❚ pause';
      goOn();
    });
    on('one', 'click', () => { stop(); step(); evaluate(); show(); });
    on('again', 'click', begin);
    on('rate', 'change', () => call('_cks_lesson_set_learning_rate', Number(part('rate').value)));
    on('clear', 'click', () => { clear(); predict(); });
    on('sample', 'click', sample);
    on('download', 'click', () => {
      const path = 'lenet5.safetensors';
      const name = cks._malloc(path.length + 1);
      cks.HEAPU8.set([...path].map((letter) => letter.charCodeAt(0)).concat(0), name);
      call('_cks_lesson_save', name);
      cks._free(name);
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([cks.FS.readFile(path)], {type: 'application/octet-stream'}));
      link.download = path;
      link.click();
      URL.revokeObjectURL(link.href);
    });
    let from = null;
    const place = (event) => {
      const box = part('pad').getBoundingClientRect();
      return [(event.clientX - box.left) * 224 / box.width, (event.clientY - box.top) * 224 / box.height];
    };
    on('pad', 'pointerdown', (event) => {
      if (state.label !== undefined) clear();
      part('pad').setPointerCapture(event.pointerId);
      from = place(event);
    });
    on('pad', 'pointermove', (event) => {
      if (!from) return;
      const to = place(event);
      Object.assign(pad, {strokeStyle: '#fff', lineWidth: 17, lineCap: 'round'});
      pad.beginPath();
      pad.moveTo(...from);
      pad.lineTo(...to);
      pad.stroke();
      from = to;
      predict();
    });
    on('pad', 'pointerup', () => { from = null; });
  }

  loadCks().then((loaded) => {
    cks = loaded;
    numbers = cks._malloc(4);
    clear();
    begin();
    listen();
    sample();
    root.classList.add('alive');
  }).catch(fail);
});
