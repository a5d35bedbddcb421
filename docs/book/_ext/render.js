// Draws what a page shows before any script of it runs: mathematics, and pictures of convolutions and of
// LeNet-5. Reads a line of JSON, {"math": TEX, "display": BOOL}, {"picture": STATE} or {"lenet": NAME}, and
// answers {"html"} or {"error"}.
// usage: node render.js build/web/apps/web/cks.js
'use strict';
const fs = require('fs');
const path = require('path');
const katex = require('katex');
const ConvPicture = require('../_static/conv_picture.js');
const lenetPicture = require('./lenet_pictures.js');

const script = path.resolve(process.argv[2]);
require(script)({wasmBinary: fs.readFileSync(script.replace(/js$/, 'wasm'))}).then((cks) => {
  const answer = ({math, display, picture, lenet}) => {
    if (math !== undefined) {
      return katex.renderToString(math, {displayMode: display, throwOnError: true, strict: 'error'});
    }
    if (lenet !== undefined) {
      return lenetPicture(cks, lenet);
    }
    const state = ConvPicture.parse(picture);
    const {grids, words} = ConvPicture.draw(ConvPicture.compute(cks, state), state);
    return `<div class="grids">${grids}</div><div class="words">${words}</div>`;
  };
  require('readline').createInterface({input: process.stdin}).on('line', (line) => {
    let result;
    try {
      result = {html: answer(JSON.parse(line))};
    } catch (error) {
      result = {error: error.message};
    }
    process.stdout.write(JSON.stringify(result) + '\n');
  });
});
