/* Looks and behaviour of the page: no fonts, no scripts, no pictures from elsewhere. */
#include <stddef.h>

#include "cli/ci_page.h"

const char *const ci_page_style[] = {
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d0d7de;--ok:#1a7f37;--bad:#c01c28;--open:#8a5d00;--card:#f6f8fa;--have:#dbe4ee;--blue:#0b57d0;"
    "--okbg:#dafbe1;--badbg:#ffebe9;--openbg:#fff4d1}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9aa4af;--line:#30363d;--ok:#3fb950;--bad:#ff7b72;--open:#e3b341;--card:#161b22;--have:#263241;--blue:#79b8ff;"
    "--okbg:#12301b;--badbg:#3c1618;--openbg:#332701}}"
    "*{box-sizing:border-box}html{scroll-behavior:smooth}body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "h1{font-size:1.4rem;line-height:1.25;margin:.2rem 0 .8rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem;padding-bottom:.2rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:1.2rem 0 .3rem}"
    "p{margin:.3rem 0 .6rem}small,.dim{color:var(--dim)}small{font-size:13px}code,pre{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}pre{background:var(--card);padding:.6rem;border-radius:.4rem;overflow-x:auto;margin:.4rem 0}"
    "a{color:var(--blue)}nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.8rem 0;font-size:14px}"
    ".verdict{padding:.8rem 1rem;border-radius:.5rem;border-left:.5rem solid;background:var(--card)}.verdict strong{font-size:1.35rem}.verdict div{color:var(--fg)}"
    ".VERIFIED{color:var(--ok)}.FALSIFIED{color:var(--bad)}.UNKNOWN,.ERROR,.MISSING{color:var(--open)}"
    ".tag{display:inline-block;white-space:nowrap;font-size:13px;font-weight:600;padding:0 .5rem;border-radius:1rem}.tag.VERIFIED{background:var(--okbg)}.tag.FALSIFIED{background:var(--badbg)}"
    ".tag.UNKNOWN,.tag.ERROR,.tag.MISSING{background:var(--openbg)}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}th{font-size:13px;color:var(--dim);font-weight:600;white-space:nowrap}td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    ".filter{display:flex;gap:.5rem;flex-wrap:wrap;align-items:center;margin:.5rem 0}.filter input{flex:1 1 10rem;min-width:0}.filter input,.filter select,.filter button{font:inherit;padding:.3rem .5rem;border:1px solid var(--line);border-radius:.3rem;background:var(--bg);color:var(--fg)}",
    ".acc{display:grid;grid-template-columns:minmax(9rem,16rem) 1fr 8.5rem;gap:0 .7rem;align-items:center;font-size:13px;padding:2px 0}.acc .n{text-align:right;font-variant-numeric:tabular-nums}"
    ".why{grid-column:2/-1}.rail{position:relative;height:16px;background:linear-gradient(var(--dim),var(--dim)) 50% 0/1px 100% no-repeat,repeating-linear-gradient(90deg,var(--line) 0 1px,transparent 1px calc(100%/var(--k)))}"
    ".rail i{position:absolute;top:0;bottom:0;background:var(--have);border:solid var(--dim);border-width:0 2px}.rail b{position:absolute;top:4px;bottom:4px;min-width:2px;border-radius:2px;background:currentColor}"
    ".ticks{position:relative;height:18px;font-size:11px;color:var(--dim)}.ticks span{position:absolute;transform:translateX(-50%);white-space:nowrap}.ticks sup{font-size:8px;line-height:0}"
    ".hist{width:100%;display:block;font:11px system-ui,sans-serif;overflow:visible}.hist text{fill:var(--fg)}.hist .d{fill:var(--dim)}.hist .bar{fill:var(--blue)}.hist .short{fill:var(--bad)}.hist .part{opacity:.5}.hist line{stroke:var(--line)}"
    ".hist .limit{stroke:var(--bad);stroke-dasharray:4 3;stroke-width:1.5}.hist .f{stroke:var(--blue);stroke-width:1.5}.hist .p{fill:var(--bg);stroke:var(--blue);stroke-width:1.5}.hist .h{fill:var(--blue)}.hist .c{fill:var(--ok);stroke:var(--bg);stroke-width:2}.hist .out{opacity:.45}"
    ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:13px;color:var(--dim);margin:.3rem 0}.legend i{display:inline-block;width:.8rem;height:.8rem;margin-right:.35rem;vertical-align:-1px;border-radius:2px}"
    ".meter{display:flex;height:14px;border-radius:3px;overflow:hidden;background:var(--have)}.meter i{display:block}"
    ".gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:.8rem;margin:.6rem 0}.gallery figure{margin:0;padding:.6rem;border:1px solid var(--line);border-radius:.5rem;break-inside:avoid}"
    ".trio{display:grid;grid-template-columns:repeat(3,1fr);gap:.4rem}.trio div{font-size:11px;color:var(--dim);text-align:center}.trio img{display:block;width:100%;image-rendering:pixelated;border:1px solid var(--line);background:#888}figcaption{font-size:13px;margin-top:.4rem}"
    "details{margin:.6rem 0}summary{cursor:pointer;font-weight:600}ul{padding-left:1.2rem;margin:.3rem 0}[hidden]{display:none}@media screen{.more{display:none!important}}",
    "@media(max-width:44rem){body{padding:.7rem}.wide{display:none}.acc{grid-template-columns:1fr auto;padding:5px 0}.acc .rail,.acc .ticks{grid-column:1/-1;grid-row:2}.acc.axis .l,.acc.axis .n{display:none}.why{grid-column:1/-1}th,td{padding-right:.4rem}.gallery{grid-template-columns:1fr}"
    "#t thead,#t td:empty{display:none}#t tr{display:block;border-bottom:1px solid var(--line);padding:.4rem 0}#t tr[hidden]{display:none}#t td{display:block;border:0;padding:.1rem 0}#t td.wide{display:none}}"
    "@media print{:root{--bg:#fff;--fg:#000;--dim:#444;--line:#bbb;--ok:#11602a;--bad:#a31520;--open:#6b4800;--card:#f4f4f4;--have:#dbe4ee;--blue:#0b57d0;--okbg:#dafbe1;--badbg:#ffebe9;--openbg:#fff4d1}"
    "body{max-width:none;padding:0;font-size:11px}nav,.filter{display:none}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}tr,.acc,figure{break-inside:avoid}h2,h3{break-after:avoid}.gallery{grid-template-columns:repeat(3,1fr)}a{color:inherit;text-decoration:none}pre{white-space:pre-wrap}}",
    NULL};

/* Filters: a row is shown if it has the words of the text field and the chosen attributes. Of very many only the first are laid out at once
 * (class "more": not on a screen, but on paper); a button shows the rest. */
const char ci_page_script[] =
    "for(const box of document.querySelectorAll('.filter')){const rows=[...document.querySelectorAll('#'+box.dataset.for+' tbody tr')],out=box.querySelector('output'),"
    "fields=[...box.querySelectorAll('select')],q=box.querySelector('input'),all=box.querySelector('button'),low=[];let most=200;"
    "const run=()=>{const w=q.value.toLowerCase().split(/\\s+/).filter(Boolean);let n=0;rows.forEach((r,i)=>{const s=fields.every(f=>!f.value||r.dataset[f.name]===f.value)&&w.every(x=>(low[i]=low[i]||r.textContent.toLowerCase()).includes(x));"
    "if(r.hidden===s)r.hidden=!s;if(s)r.classList.toggle('more',n++>=most)});out.textContent=n+' of '+rows.length+(n>most?', the first '+most+' shown':' shown');all.hidden=n<=most};"
    "q.oninput=run;fields.forEach(f=>f.onchange=run);all.onclick=()=>{most=1/0;run()};run()}";
