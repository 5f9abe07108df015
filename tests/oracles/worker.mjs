// Runs models with the WebAssembly build of LiteRT (npm @litertjs/core) under Node. Usage: node worker.mjs LIST
// LIST and results as in worker.py. Run it in the folder that holds node_modules.
import fs from 'node:fs';
import path from 'node:path';
import {createRequire} from 'node:module';

const core = path.resolve('node_modules/@litertjs/core');
const require = createRequire(core + '/');

// The package is written for browsers. Three things differ here: scripts are loaded by require (as .cjs copies, because the
// package calls itself a module), there is no `self`, and its tensor class knows neither int8 nor int16.
for (const f of fs.readdirSync(core + '/wasm'))
  if (f.endsWith('.js')) fs.copyFileSync(`${core}/wasm/${f}`, `${core}/wasm/${f.slice(0, -3)}.cjs`);
const known = 'elementType: ElementType.UINT8\n  }';
const source = fs.readFileSync(core + '/dist/index.js', 'utf8');
if (!source.includes(known)) throw new Error('this version of @litertjs/core is not known to worker.mjs');
fs.writeFileSync(core + '/dist/index.node.mjs', source.replace(known, known +
  ',\n  {dtype: "int8", typedArrayConstructor: Int8Array, elementType: ElementType.INT8}' +
  ',\n  {dtype: "int16", typedArrayConstructor: Int16Array, elementType: ElementType.INT16}'));
globalThis.self = globalThis;
globalThis.importScripts = url => { self.ModuleFactory = require(String(url).replace(/\.js$/, '.cjs')); };
const litert = await import(core + '/dist/index.node.mjs');
await litert.loadLiteRt(core + '/wasm/');

const arrays = {int8: Int8Array, uint8: Uint8Array, int16: Int16Array, float32: Float32Array};

async function run(file, inputs) {
  const model = await litert.loadAndCompile(new Uint8Array(fs.readFileSync(file)), {accelerator: 'wasm'});
  const xs = model.getInputDetails().map((d, i) => {
    const shape = [...d.shape].map(v => Math.max(v, 1));
    const bytes = fs.readFileSync(inputs[i]);
    const data = new arrays[d.dtype](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return {shape, data, size: shape.reduce((a, b) => a * b, 1)};
  });
  const out = [];
  for (let k = 0; k < xs[0].data.length / xs[0].size; k++) {
    const tensors = xs.map(x => new litert.Tensor(x.data.slice(k * x.size, (k + 1) * x.size), x.shape));
    const results = await model.run(tensors);
    const y = await results[0].data();
    out.push(Buffer.from(y.buffer, y.byteOffset, y.byteLength));
    for (const t of [...tensors, ...results]) t.delete();
  }
  model.delete();
  return Buffer.concat(out);
}

for (const line of fs.readFileSync(process.argv[2], 'utf8').split('\n')) {
  if (!line) continue;
  const [model, out, inputs] = line.split('\t');
  if (fs.existsSync(out) || fs.existsSync(out + '.err')) continue;
  fs.writeFileSync(out + '.err', 'the runtime crashed\n');
  try {
    fs.writeFileSync(out, await run(model, inputs.split(',')));
    fs.unlinkSync(out + '.err');
  } catch (e) {
    fs.writeFileSync(out + '.err', String(e).slice(0, 500) + '\n');
  }
}
process.exit(0);
