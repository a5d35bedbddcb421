// A living picture of one convolution: input, filter, output and the three passes, linked. Every number,
// range and count in it comes from the library (apps/web/conv_picture.h says what); this file only draws
// the product of what is known of rows and of columns.
//
//   ConvPicture.draw(data, state)   the grids as HTML with SVG, also without a page: for print
//   new ConvPicture(element, cks)   brings a <figure class="conv-picture" data-state="ih=5&..."> to life
'use strict';

const ConvPicture = (() => {
  // key, label, least, most, value where the state says nothing
  const FIELDS = [
    ['ih', 'input rows', 1, 12, 5], ['iw', 'input columns', 1, 12, 5],
    ['fh', 'filter rows', 1, 7, 3], ['fw', 'filter columns', 1, 7, 3],
    ['sh', 'stride of rows', 1, 4, 1], ['sw', 'stride of columns', 1, 4, 1],
    ['pt', 'padding at the top', 0, 4, 1], ['pb', 'padding at the bottom', 0, 4, 1],
    ['pl', 'padding on the left', 0, 4, 1], ['pr', 'padding on the right', 0, 4, 1],
    ['dh', 'dilation of rows', 1, 3, 1], ['dw', 'dilation of columns', 1, 3, 1],
  ];
  const GROUPS = [['input', 'ih', 'iw'], ['filter', 'fh', 'fw'], ['stride', 'sh', 'sw'],
    ['padding', 'pt', 'pb', 'pl', 'pr'], ['dilation', 'dh', 'dw']];
  const PASSES = {
    forward: {name: 'forward', title: 'Y: what an output reads', target: 'Y', method: 'ConvV2'},
    backward_data: {name: 'input gradient', title: 'dX: what reaches an input', target: 'X', method: 'KS-deconv'},
    backward_filter: {name: 'filter gradient', title: 'dW: which pairs a tap joins', target: 'W', method: 'Sk-dilated'},
  };
  const PASS_OF = {X: 'backward_data', W: 'backward_filter', Y: 'forward'};
  const CELL = 32;
  const BETWEEN = -1;  // as in conv_picture.h: a zero that the stride inserts

  const inside = (range, i) => i >= range[0] && i < range[1];
  const range = (end, begin = 0) => Array.from({length: Math.max(0, end - begin)}, (_, i) => begin + i);
  const key = (r, c) => r + ',' + c;
  const plural = (n, word) => `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`;

  /// State from "ih=5&pass=forward&zeros=1"; what is missing or no whole number in range gets its default.
  function parse(text) {
    const given = new URLSearchParams(text);
    const state = {};
    for (const [name, , least, most, usual] of FIELDS) {
      const value = given.has(name) ? Number(given.get(name)) : usual;
      state[name] = Number.isInteger(value) && value >= least && value <= most ? value : usual;
    }
    state.pass = given.get('pass') in PASSES ? given.get('pass') : 'forward';
    state.zeros = given.get('zeros') === '1';
    const whole = (name, usual) => (/^\d{1,6}$/.test(given.get(name) || '') ? Number(given.get(name)) : usual);
    state.at = whole('at', 0);
    state.seed = whole('seed', 1);
    return state;
  }

  function serialize(state) {
    const text = new URLSearchParams();
    for (const [name] of FIELDS) text.set(name, state[name]);
    text.set('pass', state.pass);
    if (state.zeros) text.set('zeros', '1');
    text.set('at', state.at);
    text.set('seed', state.seed);
    return text.toString();
  }

  /// The cells of the pass's result in the order in which its method computes them: KS-deconv goes class by
  /// class, the others row by row.
  function order(data, pass) {
    const {rows, columns} = data;
    const [h, w] = pass === 'forward' ? [rows.out, columns.out]
      : pass === 'backward_data' ? [rows.in, columns.in] : [rows.filter, columns.filter];
    const cells = range(h).flatMap((r) => range(w).map((c) => [r, c]));
    if (pass !== 'backward_data') return cells;
    const classOf = ([r, c]) => rows.inputs[r].class * columns.stride + columns.inputs[c].class;
    return cells.map((cell, i) => [classOf(cell), i, cell]).sort((a, b) => a[0] - b[0] || a[1] - b[1])
      .map(([, , cell]) => cell);
  }

  /// What the selected cell joins: pairs of cells that are multiplied, cells with zeros, and words.
  function links(data, state) {
    const {rows, columns} = data;
    const list = order(data, state.pass);
    const at = Math.min(state.at, list.length - 1);
    const [r, c] = list[at];
    const found = {at, list, target: [r, c], pairs: [], dead: {X: new Set(), W: new Set(), Y: new Set()},
      deadPlaces: new Set(), all: 0};
    if (state.pass === 'forward') {
      for (const fh of range(rows.filter)) {
        for (const fw of range(columns.filter)) {
          const pixel = [rows.reads[r][fh], columns.reads[c][fw]];
          const live = inside(rows.forward[r], fh) && inside(columns.forward[c], fw);
          if (live) found.pairs.push({X: pixel, W: [fh, fw]});
          else { found.dead.X.add(key(...pixel)); found.dead.W.add(key(fh, fw)); }
        }
      }
      found.all = rows.filter * columns.filter;
    } else if (state.pass === 'backward_data') {
      const [row, column] = [rows.inputs[r], columns.inputs[c]];
      for (const [oh, fh] of row.pairs) {
        for (const [ow, fw] of column.pairs) {
          found.pairs.push({Y: [oh, ow], W: [fh, fw], place: [row.places[fh], column.places[fw]]});
        }
      }
      const live = new Set(found.pairs.map((pair) => key(...pair.place)));
      for (const p of row.places) {
        for (const q of column.places) if (!live.has(key(p, q))) found.deadPlaces.add(key(p, q));
      }
      found.taps = [rows.classes[row.class], columns.classes[column.class]];
      for (const fh of found.taps[0]) for (const fw of found.taps[1]) found.dead.W.add(key(fh, fw));
      for (const pair of found.pairs) found.dead.W.delete(key(...pair.W));
      found.all = rows.filter * columns.filter;
    } else {
      for (const oh of range(rows.out)) {
        for (const ow of range(columns.out)) {
          const pixel = [rows.reads[oh][r], columns.reads[ow][c]];
          const live = inside(rows.taps[r], oh) && inside(columns.taps[c], ow);
          if (live) found.pairs.push({X: pixel, Y: [oh, ow]});
          else { found.dead.X.add(key(...pixel)); found.dead.Y.add(key(oh, ow)); }
        }
      }
      found.all = rows.out * columns.out;
    }
    return found;
  }

  const value = (data, name, r, c) => {
    const width = name.endsWith('X') ? data.columns.in : name.endsWith('W') ? data.columns.filter : data.columns.out;
    return data[name][r * width + c];
  };

  /// A grid: {id, title, rows, columns, cell(r, c) -> {text, marks, label}, first: [r, c]}.
  function svg(grid) {
    const [r0, c0] = grid.first || [0, 0];
    const [width, height] = [grid.columns * CELL + 2, grid.rows * CELL + 2];
    const lines = range(grid.rows).map((i) => {
      const cells = range(grid.columns).map((j) => {
        const cell = grid.cell(r0 + i, c0 + j);
        const focus = cell.focus === undefined ? '' : ` tabindex="${cell.focus ? 0 : -1}"`;
        const where = cell.focus === undefined ? '' : ` data-grid="${grid.id}" data-r="${r0 + i}" data-c="${c0 + j}"`;
        const [x, y] = [j * CELL + 1, i * CELL + 1];
        const zero = cell.marks.includes('zero') || cell.marks.includes('dead')
          ? `<path class="hatch" d="M${x} ${y + CELL}l${CELL} ${-CELL}M${x} ${y + CELL / 2}l${CELL / 2} ${-CELL / 2}` +
            `M${x + CELL / 2} ${y + CELL}l${CELL / 2} ${-CELL / 2}"/>` : '';
        const dot = cell.marks.includes('read') ? `<circle class="dot" cx="${x + CELL - 5}" cy="${y + 5}" r="2.5"/>` : '';
        return `<g role="gridcell" class="cell ${cell.marks.join(' ')}"${where}${focus} aria-label="${cell.label}"` +
          `${cell.marks.includes('target') ? ' aria-selected="true"' : ''}>` +
          `<rect x="${x}" y="${y}" width="${CELL}" height="${CELL}"/>${zero}` +
          `<text x="${x + CELL / 2}" y="${y + CELL / 2 + 4.5}">${cell.text}</text>${dot}</g>`;
      });
      return `<g role="row">${cells.join('')}</g>`;
    });
    return `<div class="grid" data-name="${grid.id}"><p class="name">${grid.title}</p>` +
      `<svg role="grid" aria-label="${grid.plain}" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">` +
      `${lines.join('')}</svg></div>`;
  }

  function grids(data, state, found, timed) {
    const {rows, columns} = data;
    const pass = state.pass;
    const results = {forward: 'Y', backward_data: 'dX', backward_filter: 'dW'};
    const later = new Set(timed ? found.list.slice(found.at + 1).map(([r, c]) => key(r, c)) : []);
    const read = (id) => new Set(found.pairs.filter((pair) => pair[id]).map((pair) => key(...pair[id])));
    const isTarget = (id) => PASSES[pass].target === id;
    const mates = pass === 'backward_data' ? (r, c) =>
      rows.inputs[r].class === rows.inputs[found.target[0]].class &&
      columns.inputs[c].class === columns.inputs[found.target[1]].class : () => false;

    const plainGrid = (id, h, w, ring) => {
      const name = isTarget(id) ? results[pass] : id === 'Y' && pass !== 'forward' ? 'dY' : id;
      const reads = read(id);
      return {
        id, rows: h + ring[0] + ring[1], columns: w + ring[2] + ring[3], first: [-ring[0], -ring[2]],
        title: `<b>${name}</b> ${h} × ${w}${isTarget(id) ? ' ← computed' : ''}`,
        plain: `${name}, ${h} rows, ${w} columns`,
        cell: (r, c) => {
          const marks = [];
          const outside = r < 0 || c < 0 || r >= h || c >= w;
          if (outside) marks.push('zero');
          if (isTarget(id) && !outside) {
            marks.push('result');
            if (key(r, c) === key(...found.target)) marks.push('target');
            else if (mates(r, c)) marks.push('mate');
            if (later.has(key(r, c))) marks.push('later');
          } else if (!isTarget(id)) {
            if (reads.has(key(r, c))) marks.push('read');
            else if (found.dead[id].has(key(r, c))) marks.push('dead');
          }
          const text = outside ? '0' : later.has(key(r, c)) && isTarget(id) ? '' : String(value(data, name, r, c)).replace('-', '−');
          const role = marks.includes('target') ? ', selected' : marks.includes('read') ? ', is read'
            : marks.includes('dead') ? ', a product with zero' : '';
          const first = isTarget(id) ? key(...found.target) : '0,0';
          return {text, marks, focus: outside ? undefined : key(r, c) === first,
            label: outside ? `padding, row ${r}, column ${c}${role}` : `${name} row ${r}, column ${c}, value ${text || 'not computed yet'}${role}`};
        },
      };
    };
    const ring = state.zeros ? [state.pt, state.pb, state.pl, state.pr] : [0, 0, 0, 0];
    const none = [0, 0, 0, 0];
    const list = [plainGrid('X', rows.in, columns.in, ring), plainGrid('W', rows.filter, columns.filter, none)];
    if (pass === 'backward_data' && state.zeros) {
      const reads = new Set(found.pairs.map((pair) => key(...pair.place)));
      list.push({
        id: 'Y', rows: rows.spread.length, columns: columns.spread.length,
        title: `<b>dY</b> ${rows.out} × ${columns.out}, widened by zeros`,
        plain: `dY widened by zeros, ${rows.spread.length} rows, ${columns.spread.length} columns`,
        cell: (p, q) => {
          const [oh, ow] = [rows.spread[p], columns.spread[q]];
          const zero = oh < 0 || ow < 0;
          const marks = zero ? ['zero', oh === BETWEEN || ow === BETWEEN ? 'between' : 'beside'] : [];
          if (reads.has(key(p, q))) marks.push('read');
          else if (found.deadPlaces.has(key(p, q))) marks.push('dead');
          const text = zero ? '0' : String(value(data, 'dY', oh, ow)).replace('-', '−');
          return {text, marks, label: zero ? 'a zero' : `dY row ${oh}, column ${ow}, value ${text}`};
        },
      });
    } else {
      list.push(plainGrid('Y', rows.out, columns.out, none));
    }
    if (pass === 'backward_data') {
      const [a, b] = [rows.inputs[found.target[0]].class, columns.inputs[found.target[1]].class];
      const reads = read('W');
      list.push({
        id: 'S', rows: found.taps[0].length && found.taps[1].length ? found.taps[0].length : 0, columns: found.taps[1].length,
        title: `filter of class (${a}, ${b}): ${found.taps[0].length} × ${found.taps[1].length}`,
        plain: `dense filter of residue class ${a}, ${b}`,
        cell: (m, n) => {
          const [fh, fw] = [found.taps[0][m], found.taps[1][n]];
          const text = String(value(data, 'W', fh, fw)).replace('-', '−');
          const live = reads.has(key(fh, fw));
          return {text, marks: [live ? 'read' : 'dead'], label: `tap ${fh}, ${fw}, value ${text}${live ? '' : ', trimmed'}`};
        },
      });
    }
    return list;
  }

  function words(data, state, found) {
    const [r, c] = found.target;
    const name = {forward: 'Y', backward_data: 'dX', backward_filter: 'dW'}[state.pass];
    const sides = {forward: ['X', 'W'], backward_data: ['Y', 'W'], backward_filter: ['Y', 'X']}[state.pass];
    const number = (id, pair) => {
      const v = value(data, id === 'Y' ? 'dY' : id, ...pair[id]);
      return v < 0 ? `(−${-v})` : String(v);
    };
    const terms = found.pairs.slice(0, 12).map((pair) => `${number(sides[0], pair)}·${number(sides[1], pair)}`);
    if (found.pairs.length > 12) terms.push('…');
    const result = String(value(data, name, r, c)).replace('-', '−');
    const sum = `${name}[${r},${c}] = ${terms.length ? terms.join(' + ') + ' = ' : ''}${result}`;
    const live = found.pairs.length;
    let here;
    if (state.pass === 'backward_data') {
      const [a, b] = [data.rows.inputs[r].class, data.columns.inputs[c].class];
      const size = found.taps[0].length * found.taps[1].length;
      here = `Class (${a}, ${b}) keeps ${size} of the ${plural(found.all, 'tap')}` +
        (size ? `, of which ${live} meet${live === 1 ? 's' : ''} dY here.` : ': its gradient is 0.');
    } else if (state.pass === 'forward') {
      here = `${live} of the ${plural(found.all, 'tap')} meet${live === 1 ? 's' : ''} the image` +
        (live < found.all ? `; ${found.all - live} lie in the padding.` : '.');
    } else {
      here = `This tap joins ${live} of the ${plural(found.all, 'output')} with a pixel` +
        (live < found.all ? `; for ${found.all - live} it lies in the padding.` : '.');
    }
    const counts = data.passes[state.pass];
    const skipped = counts.plain - counts.executed;
    const whole = `The whole ${PASSES[state.pass].name} pass: ${PASSES[state.pass].method} executes ` +
      `<b class="executed">${counts.executed.toLocaleString('en')}</b> of ` +
      `<b class="plain">${counts.plain.toLocaleString('en')}</b> multiply-adds; ` +
      `<b class="skipped">${skipped.toLocaleString('en')}</b> with zeros are skipped ` +
      `(${counts.plain ? (100 * skipped / counts.plain).toFixed(1) : '0.0'}\u00a0%).`;
    return `<p class="sum">${sum}</p><p class="here">${here}</p><p class="whole">${whole}</p>`;
  }

  function draw(data, state, timed = false) {
    const found = links(data, state);
    return {
      grids: grids(data, state, found, timed).filter((grid) => grid.rows > 0).map(svg).join(''),
      words: words(data, state, found), at: found.at, last: found.list.length - 1,
    };
  }

  /// The library's picture of a state; throws an Error with its message for a convolution that is none.
  function compute(cks, state) {
    const json = cks._cks_conv_picture(...FIELDS.map(([name]) => state[name]), state.seed);
    if (!json) throw new Error(cks.UTF8ToString(cks._cks_error()));
    return JSON.parse(cks.UTF8ToString(json));
  }

  let count = 0;

  class Picture {
    constructor(root, cks) {
      this.root = root;
      this.cks = cks;
      this.timed = false;
      this.timer = 0;
      this.prefix = root.id || `conv-picture-${++count}`;
      const [id, shared] = decodeURIComponent(location.hash.slice(1)).split('?');
      this.state = parse(id === root.id && shared ? shared : root.dataset.state || '');
      if (id === root.id && shared) root.scrollIntoView();
      this.build();
      this.recompute();
      root.classList.add('alive');
    }

    build() {
      const input = (name) => {
        const [, label, least, most] = FIELDS.find(([candidate]) => candidate === name);
        return `<input type="number" name="${name}" min="${least}" max="${most}" aria-label="${label}" title="${label}">`;
      };
      const passes = Object.entries(PASSES).map(([pass, {title}]) =>
        `<label><input type="radio" name="${this.prefix}-pass" value="${pass}"> ${title}</label>`).join('');
      const live = this.root.querySelector('.live');
      live.innerHTML =
        `<form class="controls" onsubmit="return false">` +
        `<div class="passes" role="radiogroup" aria-label="pass">${passes}</div>` +
        `<div class="sizes">${GROUPS.map(([name, ...fields]) =>
          `<span role="group" aria-label="${name}">${name} ${fields.map(input).join('')}</span>`).join('')}</div>` +
        `<div class="time"><label><input type="checkbox" name="zeros"> show the zeros</label>` +
        `<button type="button" name="play" aria-label="play">▶</button>` +
        `<label class="slide">step <input type="range" name="at" min="0"> <output></output></label>` +
        `<button type="button" name="numbers">other numbers</button></div></form>` +
        `<div class="grids"></div><div class="words" role="status" aria-live="polite"></div>` +
        `<p class="problem" role="alert"></p>`;
      this.part = (selector) => live.querySelector(selector);
      live.addEventListener('input', (event) => this.onInput(event.target));
      this.part('[name=play]').addEventListener('click', () => this.play());
      this.part('[name=numbers]').addEventListener('click', () => {
        this.state.seed = (this.state.seed + 1) % 1000000;
        this.recompute();
      });
      const cells = this.part('.grids');
      // A picture that is drawn anew under a pointer at rest was not pointed at.
      let last = '';
      cells.addEventListener('pointerover', (event) => {
        const place = key(event.screenX, event.screenY);
        if (place !== last) this.select(event.target.closest('[data-grid]'));
        last = place;
      });
      cells.addEventListener('pointermove', (event) => { last = key(event.screenX, event.screenY); });
      cells.addEventListener('focusin', (event) => this.select(event.target.closest('[data-grid]'), true));
      cells.addEventListener('keydown', (event) => this.onKey(event));
    }

    onInput(control) {
      const {name} = control;
      if (name === 'zeros') this.state.zeros = control.checked;
      else if (name === 'at') { this.state.at = Number(control.value); this.timed = true; }
      else if (control.type === 'radio') { this.state.pass = control.value; this.state.at = 0; }
      else {
        const [, label, least, most] = FIELDS.find(([candidate]) => candidate === name);
        const typed = Number(control.value);
        if (control.value === '' || !Number.isInteger(typed) || typed < least || typed > most) {
          this.complain(`${label}: a whole number from ${least} to ${most}, please.`);
          return;
        }
        this.state[name] = typed;
        this.recompute();
        return;
      }
      this.render();
    }

    /// A cell of any grid was pointed at: its pass becomes the picture's.
    select(cell, focused = false) {
      if (!cell || !this.data) return;
      const pass = PASS_OF[cell.dataset.grid];
      const [r, c] = [Number(cell.dataset.r), Number(cell.dataset.c)];
      const at = order(this.data, pass).findIndex(([i, j]) => i === r && j === c);
      if (at < 0 || (pass === this.state.pass && at === this.state.at && !this.timed)) return;
      this.stop();
      this.timed = false;
      Object.assign(this.state, {pass, at});
      this.render(focused ? cell : null);
    }

    onKey(event) {
      const cell = event.target.closest('[data-grid]');
      const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
      if (!cell || !(event.key in steps)) return;
      event.preventDefault();
      const [dr, dc] = steps[event.key];
      const next = this.part(`[data-grid="${cell.dataset.grid}"][data-r="${Number(cell.dataset.r) + dr}"]` +
        `[data-c="${Number(cell.dataset.c) + dc}"]`);
      if (next) next.focus();
    }

    play() {
      if (this.timer) { this.stop(); return; }
      if (this.state.at >= this.last) this.state.at = -1;
      this.part('[name=play]').textContent = '❚❚';
      this.part('[name=play]').setAttribute('aria-label', 'pause');
      this.timer = setInterval(() => {
        this.state.at += 1;
        this.timed = true;
        this.render();
        if (this.state.at >= this.last) this.stop();
      }, 600);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = 0;
      this.part('[name=play]').textContent = '▶';
      this.part('[name=play]').setAttribute('aria-label', 'play');
    }

    complain(message) {
      this.part('.problem').textContent = message;
    }

    recompute() {
      this.stop();
      try {
        this.data = compute(this.cks, this.state);
      } catch (error) {
        this.complain(error.message);  // the picture before it stays
        return;
      }
      this.render();
    }

    render(focused = null) {
      this.complain('');
      const drawn = draw(this.data, this.state, this.timed);
      this.state.at = drawn.at;
      this.last = drawn.last;
      this.part('.grids').innerHTML = drawn.grids;
      this.part('.words').innerHTML = drawn.words;
      for (const [name] of FIELDS) {
        const control = this.part(`[name=${name}]`);
        if (control !== document.activeElement) control.value = this.state[name];
      }
      this.part(`[value=${this.state.pass}]`).checked = true;
      this.part('[name=zeros]').checked = this.state.zeros;
      const slider = this.part('[name=at]');
      slider.max = drawn.last;
      slider.value = drawn.at;
      this.part('output').textContent = `${drawn.at + 1} of ${drawn.last + 1}`;
      if (this.root.id && this.touched) {
        history.replaceState(null, '', `#${this.root.id}?${serialize(this.state)}`);
      }
      this.touched = true;
      if (focused) {
        const {grid, r, c} = focused.dataset;
        const again = this.part(`[data-grid="${grid}"][data-r="${r}"][data-c="${c}"]`);
        if (again) again.focus();
      }
    }
  }

  return Object.assign(Picture, {parse, serialize, compute, draw});
})();

if (typeof module !== 'undefined') {
  module.exports = ConvPicture;
} else {
  addEventListener('DOMContentLoaded', () => {
    const figures = document.querySelectorAll('.conv-picture');
    if (figures.length) {
      loadCks().then((cks) => figures.forEach((figure) => { figure.picture = new ConvPicture(figure, cks); }))
        .catch((error) => console.error(error));  // what was drawn for print stays
    }
  });
}
