// check.mjs FOLDER: all.html, pass.html, thousand.html in Chromium. Prints one line "ok .." or "not ok .." a check.
import { chromium } from 'playwright-core';
import fs from 'node:fs';

const dir = process.argv[2];
let bad = 0, n = 0;
const check = (name, good, more = '') => { n++; if (!good) bad++; console.log(`${good ? 'ok' : 'not ok'} ${name}${more !== '' ? `: ${more}` : ''}`); };
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });

// A page that fails on any message, dialog, or request but for itself.
async function open(file, options, trouble) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  page.on('console', m => trouble.push(`console ${m.type()}: ${m.text()}`));
  page.on('pageerror', e => trouble.push(`error: ${e.message}`));
  page.on('dialog', d => { trouble.push(`dialog: ${d.message()}`); d.dismiss(); });
  page.on('request', r => { if (!r.url().startsWith('data:') && r.url() !== `file://${dir}/${file}`) trouble.push(`request: ${r.url()}`); });
  await page.goto(`file://${dir}/${file}`, { waitUntil: 'load' });
  return page;
}

const shown = page => page.evaluate(() => [...document.querySelectorAll('#t tbody tr')].filter(r => r.offsetParent !== null).length);
const scroll = page => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

// Text against what is behind it, WCAG 2: the least contrast of the page.
const contrast = page => page.evaluate(() => {
  const rgb = s => { const v = s.match(/[\d.]+/g).map(Number); return v.length === 4 ? v : [...v, 1]; };
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  let least = [99, ''];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(c => c.nodeType === 3 && c.textContent.trim()) || e.offsetParent === null || e.closest('svg') || ['SCRIPT', 'OPTION'].includes(e.tagName)) continue;
    let back = [255, 255, 255, 1];
    for (let a = e; a; a = a.parentElement) { const c = rgb(getComputedStyle(a).backgroundColor); if (c[3] > 0.99) { back = c; break; } }
    const x = light(rgb(getComputedStyle(e).color).slice(0, 3)), y = light(back.slice(0, 3)), k = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    if (k < least[0]) least = [k, e.textContent.trim().slice(0, 40)];
  }
  return least;
});

// ---- every section, light and dark, wide and on a phone
for (const [name, options] of [['light', { colorScheme: 'light' }], ['dark', { colorScheme: 'dark' }], ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 } }],
  ['phone-dark', { colorScheme: 'dark', viewport: { width: 390, height: 844 } }]]) {
  const trouble = [], page = await open('all.html', options, trouble);
  const wide = await scroll(page);
  check(`${name}: nothing to scroll sideways`, wide <= 0, `${wide} px`);
  const [k, where] = await contrast(page);
  check(`${name}: contrast of at least 4.5`, k >= 4.5, `${k.toFixed(2)} "${where}"`);
  const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  check(`${name}: background`, (name.includes('dark')) === (back !== 'rgb(255, 255, 255)'), back);
  check(`${name}: pictures are there`, await page.evaluate(() => document.images.length === 72 && [...document.images].every(i => i.naturalWidth > 0)));
  check(`${name}: figures have a size`, await page.evaluate(() => [...document.querySelectorAll('svg')].length >= 2 && [...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().width > 200)));
  await page.screenshot({ path: `${dir}/all-${name}.png`, fullPage: true });
  check(`${name}: no message, no dialog, no request`, trouble.length === 0, trouble.join('; '));
  await page.context().close();
}

// ---- the filter, names that are markup
{
  const trouble = [], page = await open('all.html', {}, trouble);
  check('rows', await shown(page) === 9, await shown(page));
  const q = page.locator('.filter[data-for=t] input'), v = page.locator('.filter[data-for=t] select[name=v]'), c = page.locator('.filter[data-for=t] select[name=k]'), out = page.locator('.filter[data-for=t] output');
  await q.fill('robust');
  check('filter: a word', await shown(page) === 2 && (await out.textContent()) === '2 of 9 shown', await out.textContent());
  await q.fill('REQ-4 robust-4');
  check('filter: two words', await shown(page) === 1);
  await q.fill('');
  await v.selectOption('FALSIFIED');
  const refuted = await shown(page);
  check('filter: a verdict', refuted === await page.locator('#t tbody tr[data-v=FALSIFIED]').count() && refuted >= 3, refuted);
  await c.selectOption('robust');
  check('filter: a verdict and a kind', await shown(page) === await page.locator('#t tbody tr[data-v=FALSIFIED][data-k=robust]').count());
  await page.screenshot({ path: `${dir}/all-filtered.png` });
  await v.selectOption('');
  await c.selectOption('');
  check('filter: all again', await shown(page) === 9);
  await q.fill('no such thing');
  check('filter: nothing', await shown(page) === 0 && (await out.textContent()) === '0 of 9 shown');
  await page.locator('#questions summary').click();
  const qq = page.locator('.filter[data-for=qs] select[name=v]');
  await qq.selectOption('VERIFIED');
  check('filter: questions', (await page.locator('.filter[data-for=qs] output').textContent()) === `${await page.locator('#qs tbody tr[data-v=VERIFIED]').count()} of 120 shown`);
  check('a name that is markup is text', (await page.locator('h1').textContent()) === 'Shapes <script>alert(1)</script>' && await page.evaluate(() => document.scripts.length === 1));
  for (const a of await page.locator('nav a').all()) { await a.click(); }
  check('links of the page', await page.evaluate(() => [...document.querySelectorAll('nav a')].every(a => document.getElementById(a.hash.slice(1)) !== null)));
  check('filter: no message, no dialog, no request', trouble.length === 0, trouble.join('; '));
  await page.context().close();
}

// ---- print
{
  const trouble = [], page = await open('all.html', {}, trouble);
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  check('print: on white', (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)) === 'rgb(255, 255, 255)');
  check('print: no controls', await page.evaluate(() => [...document.querySelectorAll('.filter,nav')].every(e => e.offsetParent === null)));
  const pdf = await page.pdf({ path: `${dir}/all.pdf`, format: 'A4', printBackground: false });
  const pages = (pdf.toString('latin1').match(/\/Type\s*\/Page\b/g) || []).length;
  check('print: a PDF', pdf.subarray(0, 5).toString() === '%PDF-' && pages >= 2 && pages <= 12, `${pages} pages, ${pdf.length} bytes`);
  await page.setViewportSize({ width: 794, height: 1123 });
  await page.screenshot({ path: `${dir}/all-print.png`, fullPage: true });
  await page.context().close();
}

// ---- a page where all is well
{
  const trouble = [], page = await open('pass.html', {}, trouble);
  check('pass: its verdict', (await page.locator('.verdict').textContent()).includes('VERIFIED'));
  await page.screenshot({ path: `${dir}/pass.png`, fullPage: true });
  check('pass: no message, no dialog, no request', trouble.length === 0, trouble.join('; '));
  await page.context().close();
}

// ---- a thousand questions: size and time, by the browser's own clock
{
  const bytes = fs.statSync(`${dir}/thousand.html`).size, times = [];
  check('thousand: under 3 MB', bytes < 3e6, `${bytes} bytes`);
  for (let i = 0; i < 5; i++) {
    const trouble = [], page = await open('thousand.html', {}, trouble);
    times.push(await page.evaluate(() => new Promise(done => requestAnimationFrame(() => setTimeout(() => {
      const nav = performance.getEntriesByType('navigation')[0];
      done({ interactive: Math.round(nav.domInteractive), load: Math.round(nav.loadEventEnd), first_paint: Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1) });
    })))));
    if (i === 0) {
      check('thousand: all questions have rows', await page.locator('#qs tbody tr').count() === 1000);
      check('thousand: no message, no dialog, no request', trouble.length === 0, trouble.join('; '));
      await page.locator('#questions summary').click();
      const t = await page.evaluate(() => { const q = document.querySelector('.filter[data-for=qs] input'), start = performance.now(); q.value = 'eps-4'; q.oninput(); document.body.offsetHeight; return performance.now() - start; });
      check('thousand: filters fast', t < 300, `${t.toFixed(0)} ms`);
      const rows = () => page.evaluate(() => [...document.querySelectorAll('#qs tbody tr')].filter(r => r.offsetParent !== null).length);
      await page.evaluate(() => { const q = document.querySelector('.filter[data-for=qs] input'); q.value = ''; q.oninput(); });
      check('thousand: the first 200 at once', await rows() === 200 && (await page.locator('.filter[data-for=qs] output').textContent()) === '1000 of 1000, the first 200 shown', await rows());
      await page.locator('.filter[data-for=qs] button').click();
      check('thousand: all on demand', await rows() === 1000, await rows());
    }
    await page.context().close();
  }
  const best = times.map(t => t.load).sort((a, b) => a - b)[2];
  check('thousand: opens in under a second (median of 5)', best < 1000, JSON.stringify(times));
}
await browser.close();
console.log(`${n - bad} of ${n} passed; screenshots in ${dir}`);
process.exit(bad === 0 ? 0 : 1);
