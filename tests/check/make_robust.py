#!/usr/bin/env python3
"""Random small nets with properties and certificates of claim robust, for qverify-check; written from docs/ only.

  make_robust.py CHECKER [FIRST COUNT]     runs the checker on each and compares; prints what differs, exit 1 if anything does
  make_robust.py CHECKER FIRST COUNT DIR   writes the accepted ones to DIR as well (the stored cases robNNN)

Kinds, each with its own model of docs/semantics.md and docs/certificate.md section 7:
 - executions: the witness of a property that pins every output to the model's value is accepted, one that is off by one is not;
 - enumerated boxes and listed points, against brute force;
 - joint minima behind random affine nodes, and covers by random trees;
 - the row of maxima, against brute force over its taps;
 - proofs: random trees of splits with exact bounds, and leaves whose bound is just positive or just not.
"""
import itertools, os, random, struct, subprocess, sys, tempfile
from fractions import Fraction as Q
from make_cases import *
import make_cases as mc

# ---- tails: docs/semantics.md section 7 --------------------------------------------------------------------------------------------------
def sat32(v): return sat(v, -2**31, 2**31 - 1)
def exp_q(t):
    if t == 0: return 2**31 - 1
    a = t % 2**24 - 2**24
    u = 32 * a + 2**28
    u2 = srdhm(u, u); u3 = srdhm(u2, u); u4 = srdhm(u2, u2)
    v = rdbp(srdhm(rdbp(u4, 2) + u3, 715827883) + u2, 1)
    r = 1895147668 + srdhm(1895147668, u + v)
    for i, k in zip(range(24, 31), (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)):
        if (a - t) >> i & 1: r = srdhm(r, k)
    return r
def recip(y):
    hd = rha(Q(y + 2**31 - 1, 2))
    x = 1515870810 + srdhm(hd, -1010580540)
    for _ in range(3): x = x + sat32(4 * srdhm(x, 2**29 - srdhm(hd, x)))
    return sat32(2 * x)
def lz(s): return 32 - s.bit_length()
def softmax_q(n, x):
    E = lambda d: exp_q(srdhm(d * 2**n['ls'], n['mult']))
    d = [q - max(x) for q in x]
    S = sum(rdbp(E(q), 12) for q in d if q >= n['diff_min'])
    h = lz(S)
    R = recip(S * 2**h - 2**31)
    return [sat(rdbp(srdhm(R, E(q)), 12 - h + 31 - n['out_bits']) + n['out_zp'], n['lo'], n['hi']) if q >= n['diff_min'] else n['lo'] for q in d]
def softmax_f(n, x):
    e = [n['exp'][255 - (max(x) - q)] for q in x]
    s = 0.0
    for q in e: s = f32(s + q)
    inv = f32(1 / f32(s * n['out_scale']))
    r = []
    for q in e:
        p = f32(q * inv)
        r.append(rha(Q(p)) if n['round'] == 'away' else int(f32(p + 0.5)))
    return [sat(q + n['out_zp'], n['lo'], n['hi']) for q in r]
def lut(t, v):
    i, o = 256 + (v >> 7), v % 128
    return t[i] + ((t[i + 1] - t[i]) * o + 64 >> 7)
def softmax_16(n, x):
    d = [rq((n['rq'], n['mult'], n['ls']), q - max(x), 0) for q in x]
    e = [lut(n['lut'][:513], satp(q + 32767, 16)) for q in d]
    S = sum(e)
    h = lz(S)
    s = S * 2**(h - 1) + 2**13 >> 14
    r = lut(n['lut'][513:], satp(s - 98304, 16))
    return [sat((q * r + 2**(30 - h) >> 31 - h) + n['out_zp'], n['lo'], n['hi']) for q in e]

def tail(rnd):
    k = rnd.choice(['softmax_q', 'softmax_f', 'softmax_16'])
    n = dict(kind='tail', fn=k, lo=-128, hi=127, out_zp=rnd.choice([-128, -128, 0]))
    s = 'tail %s out_zp %d lo -128 hi 127 ' % (k, n['out_zp'])
    if k == 'softmax_q':
        n.update(mult=rnd.randint(2**30, 2**31 - 1), ls=rnd.randint(20, 26), diff_min=-rnd.choice([5, 30, 255, 400]), out_bits=8)
        s += 'mult %d ls %d diff_min %d out_bits 8\n' % (n['mult'], n['ls'], n['diff_min'])
    elif k == 'softmax_f':
        b = rnd.choice([0.01, 0.1, 0.7])
        n.update(exp=[f32(2.718281828**(-b * (255 - i))) for i in range(256)], out_scale=rnd.choice([1 / 256, f32(1 / 255)]), round=rnd.choice(['away', 'half_up_trunc']))
        s += 'out_scale %s round %s\nexp%s\n' % (hexf(n['out_scale']), n['round'], ''.join(' ' + hexf(e) for e in n['exp']))
    else:
        import math
        t1 = [min(32767, int(32768 * math.exp((i - 512) * 128 / 65536 * 10) + 0.5)) for i in range(513)]
        t2 = [min(32767, int(32768 / (1 + i / 512) + 0.5)) for i in range(513)]
        n.update(mult=rnd.randint(2**30, 2**31 - 1), ls=rnd.randint(-3, 9), rq=rnd.choice(['RQ_D', 'RQ_S']), lut=t1 + t2, lo=-32768, hi=32767, out_zp=rnd.choice([0, -32768]))
        s = 'tail softmax_16 out_zp %d lo -32768 hi 32767 mult %d ls %d rq %s\nlut%s\n' % (n['out_zp'], n['mult'], n['ls'], n['rq'], words(n['lut']))
    n['text'] = s
    return n

# ---- execution -------------------------------------------------------------------------------------------------------------------------------
class Undefined(Exception): pass

def execute(net, inputs):
    v = {t: d for t, (_, d) in enumerate(net.t) if d is not None}
    for (t, _, _), x in zip(net.inputs, inputs): v[t] = list(x)
    for i, n in enumerate(net.nodes):
        k, y = n['kind'], []
        x = v[n['ins'][0]]
        if k == 'tail':
            row = net.t[n['out']][0][-1] if net.t[n['out']][0] else 1
            for q in range(0, len(x), row): y += {'softmax_q': softmax_q, 'softmax_f': softmax_f, 'softmax_16': softmax_16}[n['fn']](n, x[q:q + row])
        for e in range(net.size(n['out']) if k != 'tail' else 0):
            if k in ('affine', 'sum', 'product'):
                t, r, b = terms_at(net, n, e, v)
                a, P = n['acc'], n['acc'].get('bits', 0)
                res = machine(a, P, t, r, b)
                if a['order'] == 'any' and a['mode'] not in ('exact', 'wrap'):
                    s = bounds(n, e, lambda q, el: (v[n['ins'][q]][el],) * 2)
                    u = r if a['form'] == 'raw' else t
                    stage_ok = harmless(a, 62 if a['mode'] in ('pair16', 'lanes', 'pairlanes') else P, s, s['final'])
                    if not stage_ok: raise Undefined
                    res = wrapp(b + sum(t), P)
                if res is None: raise Undefined
                y.append(res)
            elif k == 'step': y.append(step_f(n, e, x[e]))
            elif k == 'table': y.append(n['t'][x[e] - n['lo']])
            elif k == 'threshold': y.append(threshold_f(n, e, x[e]))
            elif k == 'max': y.append(max(x[s] for s, _ in taps(n, e) if s is not None))
            elif k == 'index':
                s = source(net, n, e)
                y.append(n['value'] if s is None else v[s[0]][s[1]])
            elif k == 'clamp': y.append(sat(x[e], n['lo'], n['hi']))
            elif k == 'wrap': y.append(wrapp(x[e], n['bits']))
            elif k == 'opaque': raise Undefined
        v[n['out']] = y
    return v

# ---- intervals in force: section 7.2 ------------------------------------------------------------------------------------------------------------
def f_of(n, e):
    k = n['kind']
    if k == 'step': return lambda x: step_f(n, e, x)
    if k == 'threshold': return lambda x: threshold_f(n, e, x)
    if k == 'table': return lambda x: n['t'][x - n['lo']]
    return lambda x: sat(x, n['lo'], n['hi'])

UNITS = ('step', 'table', 'threshold', 'clamp')

def node_image(net, n, iv, exact):
    k, out = n['kind'], []
    for e in range(net.size(n['out'])):
        x = iv[n['ins'][0]]
        if k in ('affine', 'sum', 'product'):
            s = bounds(n, e, lambda q, el: iv[n['ins'][q]][el])
            out.append(s['final'] if exact else image(n['acc'], n['acc'].get('bits', 0), s, s['final']))
        elif k == 'step': out.append(tuple(sorted(step_f(n, e, q) for q in x[e])))
        elif k in ('table', 'threshold'):
            f = f_of(n, e)
            v = [f(q) for q in range(x[e][0], x[e][1] + 1)]
            out.append((min(v), max(v)))
        elif k == 'clamp': out.append(tuple(sat(q, n['lo'], n['hi']) for q in x[e]))
        elif k == 'wrap': out.append(x[e] if fits(x[e], n['bits']) else (-2**(n['bits'] - 1), 2**(n['bits'] - 1) - 1))
        elif k == 'max':
            t = [x[s] for s, _ in taps(n, e) if s is not None]
            out.append((max(q[0] for q in t), max(q[1] for q in t)))
        elif k == 'index':
            s = source(net, n, e)
            out.append((n['value'],) * 2 if s is None else iv[s[0]][s[1]])
        else: out.append((n['lo'], n['hi']))
    return out

def least_of_max(m, ts):
    """The row `max` of 7.3: ts holds (interval, multiplier, ..) of the inside taps. M over all integers that the attaining tap can be."""
    low, best = max(q[0][0] for q in ts), []
    for i, q in enumerate(ts):
        for M in range(low, q[0][1] + 1):
            best.append((m - q[1]) * M - sum(max(S * b[0], S * min(b[1], M)) for j, (b, S, *_) in enumerate(ts) if j != i))
    return min(best)

class Empty(Exception): pass

class Model:
    def __init__(self, net, box):
        self.net, self.exact = net, {}
        self.memo, self.joined, self.left_out, self.no_point = [None] * 3, 0, 0, 0
        iv = {t: [(q, q) for q in d] for t, (_, d) in enumerate(net.t) if d is not None}
        for (t, _, _), b in zip(net.inputs, box): iv[t] = list(b)
        for i, n in enumerate(net.nodes):
            if n['kind'] in ('affine', 'sum', 'product'):
                P = n['acc'].get('bits', 0)
                bs = [bounds(n, e, lambda q, el: iv[n['ins'][q]][el]) for e in range(net.size(n['out']))]
                self.exact[i] = all(harmless(n['acc'], P, b, b['final']) for b in bs)
            iv[n['out']] = node_image(net, n, iv, self.exact.get(i, True))
        self.root = iv
        self.free = [t for t, _, _ in net.inputs]
        for i, n in enumerate(net.nodes):
            if n['kind'] in UNITS + ('max', 'index') or (n['kind'] in ('affine', 'sum', 'product') and self.exact[i]): self.free.append(n['out'])

    def restrict(self, iv, t, e, lo, hi):
        iv = {q: list(r) for q, r in iv.items()}
        iv[t][e] = (max(iv[t][e][0], lo), min(iv[t][e][1], hi))
        if iv[t][e][0] > iv[t][e][1]: raise Empty
        for i, n in enumerate(self.net.nodes):
            if n['kind'] in ('affine', 'sum', 'product') and not self.exact[i]: continue
            for el, (a, b) in enumerate(node_image(self.net, n, iv, True)):
                o = iv[n['out']][el]
                iv[n['out']][el] = (max(a, o[0]), min(b, o[1]))
                if iv[n['out']][el][0] > iv[n['out']][el][1]: raise Empty
        return iv

    # ---- section 7.3
    def bound(self, iv, coeffs, const, mult, joint={}):
        net, K = self.net, const
        co = {}
        self.memo = [None] * 3
        def add(t, e, a): co[t, e] = co.get((t, e), 0) + a
        def end(m, b): return min(m * b[0], m * b[1])
        for (t, e), c in coeffs.items(): add(t, e, c)
        for i in range(len(net.nodes) - 1, -1, -1):
            n = net.nodes[i]
            k, t = n['kind'], n['out']
            for e in range(net.size(t)):
                m = co.get((t, e), 0)
                x = iv[n['ins'][0]]
                if k in ('affine', 'sum') and self.exact[i]:
                    S = mult.get((t, e), m)
                    K += end(m - S, iv[t][e])
                    if k == 'affine':
                        o = e % n['oc']; wz = n['wz'][o if len(n['wz']) > 1 else 0]; tot = 0
                        for s, q in taps(n, e):
                            if s is None: continue
                            w = n['w'][o][q] - wz
                            tot += w
                            add(n['ins'][0], s, S * w)
                        K += S * (n['b'][o] - n['xz'] * tot)
                    else:
                        for q, c, z in zip(n['ins'], n['c'], n['z']): add(q, e, S * c); K -= S * c * z
                elif k in UNITS and e in self.joint_elements(iv, n, joint, co, mult):
                    K += self.joint_elements(iv, n, joint, co, mult)[e]
                    add(n['ins'][0], e, mult.get((t, e), 0))
                elif k in UNITS:
                    S = mult.get((t, e), 0)
                    f = f_of(n, e)
                    K += min(m * f(q) - S * q for q in range(x[e][0], x[e][1] + 1))
                    add(n['ins'][0], e, S)
                elif k == 'max':
                    K0 = n['kh'] * n['kw']
                    inside = [(s, ky * n['kw'] + kx) for (s, _), (ky, kx) in zip([q for q in max_taps(n, e)], itertools.product(range(n['kh']), range(n['kw'])))]
                    inside = [q for q in inside if q[0] is not None]
                    if not any((t, e * K0 + q) in mult for _, q in inside): K += end(m, iv[t][e])
                    else:
                        ts = [(x[s], mult.get((t, e * K0 + q), 0), s) for s, q in inside]
                        K += least_of_max(m, ts)
                        for b, S, s in ts: add(n['ins'][0], s, S)
                elif k == 'product' and self.exact[i]:
                    a, b = iv[n['ins'][0]][e], iv[n['ins'][1]][e]
                    if (t, 2 * e) not in mult and (t, 2 * e + 1) not in mult: K += end(m, iv[t][e])
                    else:
                        S = [mult.get((t, 2 * e + q), 0) for q in (0, 1)]
                        K += min(m * (p - n['z'][0]) * (q - n['z'][1]) - S[0] * p - S[1] * q for p in range(a[0], a[1] + 1) for q in range(b[0], b[1] + 1)) \
                            if (a[1] - a[0]) * (b[1] - b[0]) < 3000 else min(m * (p - n['z'][0]) * (q - n['z'][1]) - S[0] * p - S[1] * q for p in a for q in b)
                        add(n['ins'][0], e, S[0]); add(n['ins'][1], e, S[1])
                elif k == 'index':
                    s = source(net, n, e)
                    if s is None: K += m * n['value']
                    else: add(s[0], s[1], m)
                else: K += end(m, iv[t][e])
                co.pop((t, e), None)
        for (t, e), m in co.items(): K += end(m, iv[t][e])
        return K

    def joint_elements(self, iv, n, joint, co, mult):
        """Elements of unit n that do not contribute their own minima, with what they contribute: the first of a group all of it."""
        t, a = n['out'], n['ins'][0]
        if t not in joint: return {}
        if self.memo[:2] == [t, id(co)]: return self.memo[2]
        i = next(i for i, q in enumerate(self.net.nodes) if q['out'] == a)
        A, groups, r = self.net.nodes[i], {}, {}
        x = A['ins'][0]
        for e in range(self.net.size(t)):
            own = frozenset(q for q, _ in taps(A, e) if q is not None)
            group = e % A['oc'] // (A['oc'] // A['groups']), e // A['oc']
            if own: groups.setdefault(group, (sorted(own), []))[1].append(e)
        for own, es in groups.values():
            if prod([iv[x][q][1] - iv[x][q][0] + 1 for q in own]) > joint[t]: continue
            ms = [(e, co.get((t, e), 0), mult.get((t, e), 0)) for e in es]
            ms = [q for q in ms if q[1] or q[2]]
            if not ms: continue
            best = None
            for p in itertools.product(*[range(iv[x][q][0], iv[x][q][1] + 1) for q in own]):
                at, total, inside = {x: dict(zip(own, p))}, 0, True
                for e, m, S in ms:
                    s = sum(terms_at(self.net, A, e, at)[0]) + A['b'][e % A['oc']]
                    inside = inside and iv[a][e][0] <= s <= iv[a][e][1]
                    if not inside: break
                    total += m * f_of(n, e)(s) - S * s
                if inside: best = total if best is None else min(best, total)
                else: self.left_out += 1
            if best is None: self.no_point += 1
            r.update({e: 0 for e in es if any(e == q[0] for q in ms)})
            r[ms[0][0]] = best or 0
        self.joined += len(r)
        self.memo = [t, id(co), r]
        return r

    def positions(self, i):
        n = self.net.nodes[i]
        k, size = n['kind'], self.net.size(n['out'])
        if k in ('affine', 'sum', 'product') and not self.exact[i]: return []
        if k == 'max': return [e * n['kh'] * n['kw'] + q for e in range(size) for q, (s, _) in enumerate(max_taps(n, e)) if s is not None]
        if k == 'product': return list(range(2 * size))
        return list(range(size)) if k in UNITS + ('affine', 'sum') else []

    def random_multipliers(self, rnd, scale):
        m = {}
        for i, n in enumerate(self.net.nodes):
            for p in self.positions(i):
                if rnd.random() < 0.5: m[n['out'], p] = rnd.choice([0, 1, -1, 2**scale, -2**scale, rnd.randint(-3 * 2**scale, 3 * 2**scale)])
        return m

def ordered(n):
    if n['fn'] != 'softmax_q': return True
    E = [exp_q(srdhm(-d * 2**n['ls'], n['mult'])) for d in range(min(255, -n['diff_min']) + 1)]
    return all(a >= b for a, b in zip(E, E[1:])) and E[-1] >= 0

def gap_of(n, row):
    """Lemma S7."""
    if n['fn'] == 'softmax_16' or row == 1 or not ordered(n): return None
    D = min(255, -n.get('diff_min', -255))
    for g in range(1, 256):
        if n['fn'] == 'softmax_q':
            E0, Eg = 2**31 - 1, 0 if g > D else exp_q(srdhm(-g * 2**n['ls'], n['mult']))
            ok = n['lo'] <= n['out_zp'] and n['out_zp'] + 2**(n['out_bits'] - 1) < n['hi']
            for h in range(12, lz(row * 2**19) - 1, -1):
                S = min(row * 2**19, 2**(32 - h) - 1)
                ok = ok and (2**62 - 7 * S * 2**h) * (E0 - Eg) >= 2**(74 - n['out_bits']) * S
        else:
            e, s = n['exp'], 0.0
            for _ in range(row): s = f32(s + e[255])
            inv = Q(f32(1 / f32(s * n['out_scale'])))
            ok = 2**-32 <= e[255] and 2**-12 <= n['out_scale'] <= 1 and n['lo'] <= n['out_zp'] and 1 <= 2 * Q(n['out_scale']) * (n['hi'] - n['out_zp'] - 1) and \
                inv * (Q(e[255]) - Q(e[255 - g]) - (Q(e[255]) + Q(e[255 - g])) / 2**22) >= 1 + Q(1, 1024)
        if ok: return g
    return None

def logits(R, seed, rnd):
    net = Net()
    row = rnd.randint(2, 7)
    net.inputs = [(net.tensor([1, row]), -127, 128)]
    f = tail(rnd)
    f.pop('kind')
    if f['fn'] == 'softmax_q' and rnd.random() < 0.7: f.update(lo=-128, hi=127, out_zp=rnd.choice([-128, -5]))
    if f['fn'] != 'softmax_16' and rnd.random() < 0.6:
        f['hi'] = rnd.choice([127, 128, 200, 300])
        f['text'] = f['text'].replace('hi 127', 'hi %d' % f['hi'])
    f['text'] = f['text'].replace('out_zp %d' % (0 if 'out_zp 0' in f['text'] else -128), 'out_zp %d' % f['out_zp']) if f['fn'] != 'softmax_16' else f['text']
    net.node('tail', [0], [1, row], **f)
    text, g = qir(net), gap_of(f, row)
    first, C = rnd.random() < 0.5, rnd.randrange(row)
    for off in (0, 1):
        base = rnd.randint(0, 100)
        gg = g if g is not None and g < 120 else 10
        box = []
        for j in range(row):
            need = 0 if j == C else (gg - off if (j < C) == first else -off)  # 0 where a tie keeps the class: d' = 1
            low = max(-127, base - max(need, 0) - rnd.choice([0, 0, 5, 60]))
            box.append((base, base) if j == C else (min(low, base - need), base - need))
        order = '%s %d' % ('first' if first else 'last', C)
        body = 'goals logits\n' + ''.join('target %d\ndual sum 1 1 0 0\n' % j for j in range(row) if j != C) + 'verdict verified\n'
        want = ordered(f) and off == 0 and (g is not None and g < 120 or C == (0 if first else row - 1))
        R.run('%d-l%d' % (seed, off), text, prop_text([box], 'keep %s output 0\n' % order, rnd), body, want)
        for _ in range(30 if want else 0):
            x = [rnd.choice([a, b, rnd.randint(a, b)]) for a, b in box]
            y = execute(net, [x])[1]
            w = y.index(max(y)) if first else row - 1 - y[::-1].index(max(y))
            if w != C: R.unsound('%d-l' % seed)

# ---- joint minima: section 7.3 -------------------------------------------------------------------------------------------------------------------
def joint_text(joint): return ' joint %d' % len(joint) + ''.join(' %d %d' % q for q in sorted(joint.items())) if joint else ''

def joint_net(rnd):
    """An affine node, a unit, now and then an affine node on top; in front of it all sometimes a constant or the input twice."""
    net = Net()
    h, w, c = rnd.choice([(1, 2, 1), (2, 2, 1), (1, 1, 3), (1, 2, 2), (1, 3, 2), (2, 1, 2)])
    dims = [rnd.choice([1, 1, 2]), h, w, c]
    lo = rnd.randint(-9, 0)
    net.inputs = [(net.tensor(dims), lo, lo + rnd.randint(2, 20))]
    x = 0
    if rnd.random() < 0.5:
        k = rnd.choice(['constant', 'twice', 'clamp', 'pad'])
        if k == 'constant':
            other, ax = net.tensor(dims, [rnd.randint(-5, 5) for _ in range(prod(dims))]), rnd.choice([1, 2, 3])
            ins = rnd.choice([[x, other], [other, x]])
            dims = [q * (2 if i == ax else 1) for i, q in enumerate(dims)]
            x = net.node('index', ins, dims, move='concat', axis=ax)
        elif k == 'twice':
            ax = rnd.choice([2, 3])
            dims = [q * (2 if i == ax else 1) for i, q in enumerate(dims)]
            x = net.node('index', [x, x], dims, move='concat', axis=ax)
        elif k == 'clamp': x = net.node('clamp', [x], dims, lo=lo + 1, hi=lo + 9)
        else:
            dims = [dims[0], dims[1], dims[2] + 1, dims[3]]
            x = net.node('index', [x], dims, move='pad', a=[0, 0, 0, 0], b=[0, 0, 1, 0], value=rnd.randint(-3, 3))
    f = dict(n=dims[0], ih=dims[1], iw=dims[2], ic=dims[3], sh=rnd.randint(1, 2), sw=1, dh=1, dw=rnd.randint(1, 2), kh=rnd.randint(1, 2),
             kw=rnd.randint(1, 2), pt=rnd.randint(0, 1), pl=rnd.randint(0, 2))
    f['groups'] = rnd.choice([g for g in (1, 2, 3, 4, 6) if dims[3] % g == 0])
    f['oc'] = f['groups'] * rnd.randint(1, 3)
    f.update(oh=rnd.randint(1, 2), ow=rnd.randint(1, 2))
    taps_n, mag = f['kh'] * f['kw'] * (f['ic'] // f['groups']), rnd.choice([1, 3, 20])
    f.update(w=[[rnd.randint(-mag, mag) for _ in range(taps_n)] for _ in range(f['oc'])], b=[rnd.randint(-mag, mag) for _ in range(f['oc'])])
    f.update(xz=rnd.choice([0, lo, 2]), wz=rnd.choice([[0], [1], [rnd.randint(-2, 2) for _ in range(f['oc'])]]))
    f['acc'] = dict(mode=rnd.choice(['exact', 'wrap', 'sat']), bits=32, order='kernel', bias='last', form='corrected')
    if f['acc']['mode'] == 'exact': del f['acc']['bits']
    y = [f['n'], f['oh'], f['ow'], f['oc']]
    a = net.node('affine', [x], y, **f)
    k, span = rnd.choice(['step', 'step', 'table', 'threshold', 'clamp']), (mag + 2) * 40 * max(taps_n, 1)
    sets = rnd.choice([1, f['oc']])
    if k == 'step': t = net.node(k, [a], y, in_zp=0, lshift=0, out_zp=rnd.choice([0, 3]), lo=-30, hi=30, inner=1, idx=None, par=[par(rnd, rnd.choice(FNS), span // rnd.choice([4, 20])) for _ in range(sets)])
    elif k == 'table': t = net.node(k, [a], y, lo=-span, t=[rnd.randint(-9, 9) if rnd.random() < 0.2 else q // 5 % 40 for q in range(2 * span + 1)])
    elif k == 'threshold': t = net.node(k, [a], y, inner=1, pieces=[(q, [rnd.randint(-9, 9) for _ in range(len(q) + 1)]) for q in [sorted(rnd.sample(range(-40, 41), rnd.randint(0, 6))) for _ in range(sets)]])
    else: t = net.node(k, [a], y, lo=rnd.randint(-9, 0), hi=rnd.randint(1, 30))
    if rnd.random() < 0.4:
        n = rnd.randint(1, 2)
        g = dict(n=y[0], ih=y[1], iw=y[2], ic=y[3], oh=1, ow=1, oc=n, kh=y[1], kw=y[2], sh=1, sw=1, dh=1, dw=1, pt=0, pl=0, groups=1, xz=0, wz=[0], b=[rnd.randint(-9, 9) for _ in range(n)],
                 w=[[rnd.randint(-3, 3) for _ in range(prod(y[1:]))] for _ in range(n)], acc=dict(mode='wrap', bits=32, order='kernel', bias='last', form='corrected'))
        net.node('affine', [t], [y[0], 1, 1, n], **g)
    return net, x, a, t

def joints(R, seed, rnd):
    net, x, a, t = joint_net(rnd)
    text, out = qir(net), net.nodes[-1]['out']
    box = box_of(net, rnd, rnd.random() < 0.5)
    M = Model(net, box)
    if not check_tables(net, M.root) or not all(M.exact.values()): return
    pts = list(points_of(box))
    vs = [execute(net, p) for p in (pts if len(pts) <= 200 else [[[rnd.randint(*q) for q in b] for b in box] for _ in range(100)])]
    P = max(prod([M.root[x][q][1] - M.root[x][q][0] + 1 for q, _ in taps(next(n for n in net.nodes if n['out'] == a), e) if q is not None]) for e in range(net.size(a)))
    joint = {t: sat(rnd.choice([P, P, P + 1, P - 1, 2**20, rnd.randint(1, P)]), 1, 2**20)}
    scale = rnd.choice([0, 0, 3])
    def mults():
        m = M.random_multipliers(rnd, scale)
        return {q: v for q, v in m.items() if q[0] == t or rnd.random() < 0.3}
    size, iv, head = net.size(out), M.root, 'goals outputs\n'
    trusted = lambda n: 'target 0\ntrusted x\n' * n + 'verdict trusted 1\n'
    es = sorted(rnd.sample(range(size), rnd.randint(1, min(3, size))))
    cs = [rnd.choice([1, -1, 2, -3]) for _ in es]
    # a bound of an element behind the joint minima, exactly and one better than that
    for _ in range(rnd.choice([1, 2])):
        q, e, hi, m = rnd.choice([t, out]), 0, rnd.random() < 0.5, mults()
        e = rnd.randrange(net.size(q))
        K = M.bound(iv, {(q, e): -2**scale if hi else 2**scale}, 0, m, joint)
        V = (K - 1 >> scale) + 1
        if hi: V = -V
        if any(v[q][e] > V if hi else v[q][e] < V for v in vs): R.unsound('%d-j' % seed)
        L = lambda z: 'bound %d %d %s %d %s%s\n' % (q, e, 'hi' if hi else 'lo', z, mult_text(scale, m), joint_text(joint))
        prop = prop_text(box, 'violations 1\nviolation 1\nge 0 1 1 0 0\n', rnd)
        R.run('%d-jb' % seed, text, prop, head + L(V - 1 if hi else V + 1) + trusted(1), False)
        R.run('%d-ja' % seed, text, prop, head + L(V) + trusted(1), True, False)
        try: iv = M.restrict(iv, q, e, *((-2**62, V) if hi else (V, 2**62)))
        except Empty: return
        head += L(V)
    # a tree whose splits cut the sums; the condition is as strong as its weakest leaf allows, and one stronger
    least = []
    def tree(iv, depth):
        if depth == 0 or rnd.random() < 0.2:
            m = mults()
            K = M.bound(iv, {(out, e): -c * 2**scale for e, c in zip(es, cs)}, 0, m, joint)
            least.append(K)
            return 'dual sum 1 %d %s%s\n' % (2**scale, mult_text(scale, m), joint_text(joint))
        q = rnd.choice([a, a, a, t, x if net.t[x][1] is None else a])
        cand = [e for e in range(net.size(q)) if iv[q][e][0] < iv[q][e][1]]
        if not cand: return tree(iv, 0)
        e = rnd.choice(cand)
        at = rnd.randint(iv[q][e][0], iv[q][e][1] - 1)
        r = 'split %d %d %d\n' % (q, e, at)
        for part in ((-2**62, at), (at + 1, 2**62)):
            try: r += tree(M.restrict(iv, q, e, *part), depth - 1)
            except Empty: r += 'empty\n'
        return r
    body = tree(iv, rnd.randint(0, 3))
    if not least: return
    d = -(min(least) >> scale) + (0 if min(least) % 2**scale else 1)  # least + d * 2^scale > 0
    for off in (0, 1):
        cond = 'violations 1\nviolation 1\nge %d %d' % (d - off, len(es)) + ''.join(' %d 0 %d' % q for q in zip(cs, es)) + '\n'
        if off == 0 and any(sum(c * v[out][e] for c, e in zip(cs, es)) >= d for v in vs): R.unsound('%d-jt' % seed)
        R.run('%d-jt%d' % (seed, off), text, prop_text(box, cond, rnd), head + 'target 0\n' + body + 'verdict verified\n', off == 0)
    R.joined, R.left_out, R.no_point = R.joined + M.joined, R.left_out + M.left_out, R.no_point + M.no_point

# ---- long executions ---------------------------------------------------------------------------------------------------------------------------------
def layers(R, seed, rnd):
    """Affine nodes of many channels with units behind them, over boxes of some hundred points: every output's extremes, and sums of outputs'."""
    net = Net()
    dims = [1, 2, 2, rnd.choice([1, 2, 16])]
    net.inputs = [(net.tensor(dims), -9, 9)]
    x, span = 0, 10
    for q in range(rnd.randint(1, 2)):
        f = dict(n=1, ih=dims[1], iw=dims[2], ic=dims[3], sh=1, sw=1, dh=1, dw=1, xz=rnd.choice([0, -3]), pt=rnd.randint(0, 1), pl=rnd.randint(0, 1))
        f['groups'] = dims[3] if rnd.random() < 0.3 else 1
        f['oc'] = dims[3] if f['groups'] > 1 else rnd.choice([3, 16, 18])
        f.update(kh=rnd.randint(1, 2), kw=rnd.randint(1, 2), oh=2, ow=rnd.randint(1, 2), wz=[rnd.randint(-2, 2)], acc=dict(mode='exact', order='kernel', bias='last', form='corrected'))
        n = f['kh'] * f['kw'] * (f['ic'] // f['groups'])
        f.update(w=[[rnd.choice([0, 1, rnd.randint(-9, 9)]) for _ in range(n)] for _ in range(f['oc'])], b=[rnd.randint(-9, 9) for _ in range(f['oc'])])
        dims = [1, f['oh'], f['ow'], f['oc']]
        a = net.node('affine', [x], dims, **f)
        span = n * 11 * (span + 3) + 9
        k = rnd.choice(['step', 'table', 'threshold'] if span < 10**4 else ['step', 'threshold'])
        if k == 'step': x = net.node(k, [a], dims, in_zp=0, lshift=0, out_zp=1, lo=-30, hi=30, inner=1, idx=None, par=[par(rnd, rnd.choice(FNS), 60) for _ in range(rnd.choice([1, dims[3]]))])
        elif k == 'table': x = net.node(k, [a], dims, lo=-span, t=[i // 3 % 31 for i in range(2 * span + 1)])
        else: x = net.node(k, [a], dims, inner=1, pieces=[(t, [rnd.randint(-30, 30) for _ in range(len(t) + 1)]) for t in [sorted(rnd.sample(range(-40, 41), 20))]])
        span = 31
        if rnd.random() < 0.3: x = net.node('sum', [x, a], dims, acc=dict(mode='exact', order='kernel', bias='last', form='corrected'), z=[0, 0], c=[1, rnd.choice([0, 1])]); span = 10**4
    box = [[(v, v) for v in (rnd.randint(-9, 9) for _ in range(net.size(0)))]]
    for e in rnd.sample(range(net.size(0)), min(net.size(0), rnd.randint(2, 4))): box[0][e] = (lambda a: (a, a + rnd.randint(1, 3)))(rnd.randint(-9, 6))
    M = Model(net, box)
    if not check_tables(net, M.root): return
    vs = [execute(net, p)[x] for p in points_of(box)]
    sums = [[(1, e)] for e in range(net.size(x))] + [[(rnd.choice([1, -1, 3]), e) for e in sorted(rnd.sample(range(net.size(x)), min(3, net.size(x))))] for _ in range(20)]
    for bad in (None, rnd.randrange(2 * len(sums))):
        cond, i = 'violations %d\n' % (2 * len(sums)), 0
        for q in sums:
            at = [sum(c * v[e] for c, e in q) for v in vs]
            for sign in (1, -1):
                cond += 'violation 1\nge %d %d' % (max(sign * v for v in at) + (i != bad), len(q)) + ''.join(' %d 0 %d' % (sign * c, e) for c, e in q) + '\n'
                i += 1
        R.run('%d-e' % seed, qir(net), prop_text(box, cond, rnd), 'points\nverdict verified\n', bad is None, False)

# ---- covers: section 7.7 -------------------------------------------------------------------------------------------------------------------------
def covers(R, seed, rnd):
    """A random tree over a random box, parts that are as large as they should be or one smaller or larger somewhere, all enumerated."""
    net = Net()
    net.inputs = [(net.tensor([1, 2]), 0, 9), (net.tensor([1, 2]), 0, 9)]
    net.node('sum', [0, 1], [1, 2], acc=dict(mode='exact', order='kernel', bias='last', form='corrected'), z=[0, 0], c=[1, -1])
    text, whole, parts, lines = qir(net), {}, [], ''
    for q in itertools.product(range(2), range(2)):
        a = rnd.randint(2, 5)
        whole[q] = (a, a + rnd.choice([0, 1, 2]))
    most = max(whole[0, e][1] - whole[1, e][0] for e in range(2))
    d = most + rnd.choice([1, 1, 1, 0])  # violated: y_e >= d for some e
    cond = lambda d: 'violations 2\n' + ''.join('violation 1\nge %d 1 1 0 %d\n' % (d, e) for e in range(2))
    prop = lambda b, d: prop_text([[b[i, e] for e in range(2)] for i in range(2)], cond(d), rnd)
    ok, odd = True, rnd.random() < 0.5
    def tree(b, depth):
        nonlocal lines, ok
        cand = [q for q in b if b[q][0] < b[q][1]]
        if cand and depth < 4 and rnd.random() < 0.7:
            q = rnd.choice(cand)
            at = rnd.randint(b[q][0], b[q][1] - 1)
            lines += 'split %d %d %d\n' % (*q, at)
            tree(b | {q: (b[q][0], at)}, depth + 1), tree(b | {q: (at + 1, b[q][1])}, depth + 1)
            return
        lines += 'part\n'
        p, dd = dict(b), d
        if odd and rnd.random() < 0.3:
            q, (x, y) = rnd.choice(list(p.items()))
            p[q] = rnd.choice([(x - 1, y), (x, y + 1), (x + 1, y + 1) if x == y else (x + 1, y), (x - 1, y - 1) if x == y else (x, y - 1)])
        if odd and rnd.random() < 0.05: dd += 1
        ok = ok and dd == d and all(p[q][0] <= b[q][0] and b[q][1] <= p[q][1] for q in b) and max(p[0, e][1] - p[1, e][0] for e in range(2)) < dd
        parts.append(prop(p, dd))
    tree(whole, 0)
    if odd and rnd.random() < 0.15 and len(parts) > 1:
        ok = False
        if rnd.random() < 0.5: parts.append(parts[0])
        else: parts.pop()
    write = lambda name, s: (open(os.path.join(R.dir, name), 'w', newline='').write(s), os.path.join(R.dir, name))[1]
    def cert(p, body, claim):
        s = 'qvc 1\nclaim %s\nnet %s\nproperty %s\n' % (claim, sha(text), sha(p)) + body
        return s + 'sha256 %s\n' % sha(s)
    w = prop(whole, d)
    args = [write('t.qir', text), write('w.qvp', w), write('c.qvc', cert(w, lines + 'verdict verified\n', 'cover'))]
    for i, p in enumerate(parts): args += [write('p%d.qvp' % i, p), write('p%d.qvc' % i, cert(p, 'points\nverdict verified\n', 'robust'))]
    r = subprocess.run([R.checker, 'cover'] + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    R.count += 1
    got = r.returncode == 0 and r.stdout == 'c verdict verified\ns CHECKED\n'
    R.accepted += got
    if ok and d <= most: R.unsound('%d-v' % seed)
    if got != ok or (not got and (r.returncode != 1 or '\nc verdict' in r.stdout)):
        R.bad += 1
        print('DIFFERENT %d-v: wanted %s, got %d: %s %s' % (seed, ok, r.returncode, r.stdout, r.stderr[:300]))

def max_taps(n, e):  # one per (ky,kx): (input element or None, -)
    c = e % n['oc']
    r = list(taps(dict(n, groups=n['ic']), e))
    return r

def maxima(R, seed, rnd):
    """A maximum over windows of 1, 2, 4 or 6 taps, some of them padded: bounds of it, and violations of a combination of its elements, each
    accepted where it just holds and rejected one further. What the row gives is compared with brute force over the taps' values: it is the
    exact minimum of m*max(x) - sum of S*x."""
    net = Net()
    kh, kw = rnd.choice([(1, 1), (1, 2), (1, 2), (2, 2), (2, 2), (2, 2), (2, 3), (3, 2)])
    ih, iw, ic = kh + rnd.choice([0, 0, 1]), kw + rnd.choice([0, 0, 1]), rnd.choice([1, 1, 2])
    sh, sw, pt, pl = rnd.choice([1, 1, 2]), rnd.choice([1, 1, 2]), rnd.randrange(kh), rnd.randrange(kw)
    oh, ow = (rnd.randint(1, (ih - 1 + pt) // sh + 1), rnd.randint(1, (iw - 1 + pl) // sw + 1))
    x = net.tensor([1, ih, iw, ic])
    net.inputs = [(x, -60, 60)]
    y = net.node('max', [x], [1, oh, ow, ic], n=1, ih=ih, iw=iw, ic=ic, oh=oh, ow=ow, oc=ic, kh=kh, kw=kw, sh=sh, sw=sw, dh=1, dw=1, pt=pt, pl=pl, groups=ic)
    span = rnd.choice([1, 2, 2, 3, 40])
    box = []
    for _ in range(net.size(x)):
        a = rnd.randint(-4, 4)
        box.append((a, a + rnd.randint(0, span)))
    M, n, text = Model(net, [box]), net.nodes[0], qir(net)
    size = net.size(y)
    exact = {}
    for _ in range(3):
        scale = rnd.choice([0, 0, 1, 3])
        m = M.random_multipliers(rnd, scale)
        if rnd.random() < 0.5: m = {q: rnd.choice([0, 1, -1, 2, -2, 5]) for q in m}
        co = {(y, e): rnd.choice([0, 2**scale, -2**scale, rnd.randint(-9, 9)]) for e in range(size)}
        for e in range(size): # the model itself
            inside = [(s, q) for q, (s, _) in enumerate(max_taps(n, e)) if s is not None]
            ts = [(box[s], m.get((y, e * kh * kw + q), 0)) for s, q in inside]
            if prod([b[1] - b[0] + 1 for b, _ in ts]) > 3000: continue
            c = co[y, e]
            brute = min(c * max(p) - sum(S * v for (_, S), v in zip(ts, p)) for p in itertools.product(*[range(b[0], b[1] + 1) for b, _ in ts]))
            R.maxima += 1
            if least_of_max(c, ts) != brute: R.unsound('%d-m' % seed)
        e, hi = rnd.randrange(size), rnd.random() < 0.5
        K = M.bound(M.root, {(y, e): -2**scale if hi else 2**scale}, 0, m)
        V = (K - 1 >> scale) + 1
        cond, tail = 'violations 1\nviolation 1\nge 0 1 1 0 0\n', 'target 0\ntrusted x\nverdict trusted 1\n'
        own = M.root[y][e]
        for off in (0, 1):
            q = -(V + off) if hi else V + off
            if not off and (q < own[0] if hi else q > own[1]): R.unsound('%d-m' % seed)
            R.run('%d-mb%d' % (seed, off), text, prop_text([box], cond, rnd), 'goals outputs\nbound %d %d %s %d %s\n' % (y, e, 'hi' if hi else 'lo', q, mult_text(scale, m)) + tail, off == 0, False)
        # the inequality sum of c*y >= d: the bound is 2^scale*d + min of -2^scale * sum; positive from the least d on
        co = {q: rnd.choice([1, -1, 2, -3]) for q in co if co[q]} or {(y, 0): -1}
        K = M.bound(M.root, {q: -2**scale * c for q, c in co.items()}, 0, m)
        d = -K // 2**scale + 1
        for off in (0, 1):
            cond = 'violations 1\nviolation 1\nge %d %d' % (d - off, len(co)) + ''.join(' %d 0 %d' % (c, e) for (_, e), c in sorted(co.items())) + '\n'
            R.run('%d-ms%d' % (seed, off), text, prop_text([box], cond, rnd), 'goals outputs\ntarget 0\ndual sum 1 %d %s\nverdict verified\n' % (2**scale, mult_text(scale, m)), off == 0, False)
        if prod([b[1] - b[0] + 1 for b in box]) <= 2000:
            most = max(sum(c * v[e] for (_, e), c in co.items()) for p in points_of([box]) for v in [execute(net, p)[y]])
            if d <= most: R.unsound('%d-ms' % seed)

def mult_text(scale, m): return '%d %d' % (scale, len(m)) + ''.join(' %d %d %d' % (t, p, s) for (t, p), s in sorted(m.items()))

# ---- nets, properties ---------------------------------------------------------------------------------------------------------------------------
def small_net(seed):
    """A net of make_cases, its input ranges cut, no opaque node, with a real tail now and then."""
    net, rnd = grow(seed)
    if any(n['kind'] in ('opaque', 'tail') for n in net.nodes): return None, rnd
    if rnd.random() < 0.3:
        x = len(net.t) - 1
        net.node('clamp', [x], net.t[x][0], lo=-100, hi=100)
        f = tail(rnd)
        f.pop('kind')
        net.node('tail', [x + 1], net.t[x][0], **f)
    return net, rnd

def check_tables(net, iv):
    return all(n['lo'] <= q < n['lo'] + len(n['t']) for n in net.nodes if n['kind'] == 'table' for b in iv[n['ins'][0]] for q in b) and \
        all(abs(q) <= 2**50 for r in iv.values() for b in r for q in b) and \
        all(b[1] - b[0] <= 4000 for n in net.nodes if n['kind'] in UNITS for b in iv[n['ins'][0]])

def box_of(net, rnd, wide):
    box = []
    for t, lo, hi in net.inputs:
        b = []
        for _ in range(net.size(t)):
            a = rnd.randint(lo, hi)
            b.append((a, min(hi, a + (rnd.choice([0, 0, 1, 2]) if wide else rnd.choice([0, 1])))))
        box.append(b)
    return box

def points_of(box):
    flat = [range(a, b + 1) for r in box for a, b in r]
    for p in itertools.product(*flat):
        at, r = 0, []
        for b in box: r.append(list(p[at:at + len(b)])); at += len(b)
        yield r

def condition(net, rnd, values):
    """Text of the condition, and its targets as lists of ([(c, e)], d)."""
    y = net.nodes[-1]['out']
    size = net.size(y)
    if rnd.random() < 0.6 and size > 1:
        first = rnd.random() < 0.5
        v = values[0]
        C = v.index(max(v)) if first else size - 1 - v[::-1].index(max(v))
        if rnd.random() < 0.2: C = rnd.randrange(size)
        ts = {j: [([(1, j), (-1, C)], 0 if (j < C) == first else 1)] for j in range(size) if j != C}
        return 'keep %s %d output 0\n' % ('first' if first else 'last', C), ts, (first, C)
    n = rnd.randint(1, 2)
    s, ts = 'violations %d\n' % n, {}
    for i in range(n):
        k = rnd.randint(1, 2)
        s += 'violation %d\n' % k
        ts[i] = []
        for _ in range(k):
            es = sorted(rnd.sample(range(size), rnd.randint(1, min(2, size))))
            cs = [rnd.choice([1, -1, 1, 2, -3]) for _ in es]
            tot = [sum(c * v[e] for c, e in zip(cs, es)) for v in values]
            d = rnd.choice([max(tot) + 1, max(tot), max(tot) + rnd.randint(0, 9), min(tot)])
            if len(ts) == 1 and rnd.random() < 0.3: d = max(tot) + 1
            s += 'ge %d %d' % (d, len(es)) + ''.join(' %d 0 %d' % q for q in zip(cs, es)) + '\n'
            ts[i].append((list(zip(cs, es)), d))
    return s, ts, None

def prop_text(box, cond, rnd, points=None):
    s = 'qvp 1\nclaim robust\n'
    for i, b in enumerate(box):
        if points is not None: s += 'input %d points %d\n' % (i, len(points)) + ''.join(line(p[i]) for p in points)
        elif len(set(b)) == 1 and rnd.random() < 0.5: s += 'input %d range %d %d\n' % (i, *b[0])
        else: s += 'input %d elements %d\n' % (i, len(b)) + ''.join('%d %d\n' % q for q in b)
    return s + cond + 'end\n'

def violated(ts, v): return any(all(sum(c * v[e] for c, e in q) >= d for q, d in t) for t in ts.values())

class Runner:
    def __init__(self, checker, folder):
        self.checker, self.folder, self.bad, self.count, self.accepted, self.executed = checker, folder, 0, 0, 0, 0
        self.joined, self.left_out, self.no_point, self.maxima = 0, 0, 0, 0
        self.dir = tempfile.mkdtemp()
    def unsound(self, name):
        self.bad += 1
        print('UNSOUND %s: the document proves what an execution refutes' % name)
    def run(self, name, net_text, prop, body, want, keep=True):
        cert = 'qvc 1\nclaim robust\nnet %s\nproperty %s\n' % (sha(net_text), sha(prop)) + body
        cert += 'sha256 %s\n' % sha(cert)
        paths = [os.path.join(self.dir, 't.' + x) for x in ('qir', 'qvp', 'qvc')]
        for p, s in zip(paths, (net_text, prop, cert)): open(p, 'w', newline='').write(s)
        r = subprocess.run([self.checker] + paths, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.count += 1
        got = r.returncode == 0 and r.stdout.endswith('s CHECKED\n')
        self.accepted += got
        if got != want or (not got and r.returncode != 1):
            self.bad += 1
            d = '/tmp/robust-%s' % name
            for p, x in zip(paths, ('qir', 'qvp', 'qvc')): os.system('cp %s %s.%s' % (p, d, x))
            print('DIFFERENT %s: wanted %s, got %d: %s %s' % (name, want, r.returncode, r.stdout.strip().replace('\n', ' | '), r.stderr.strip()[:300]))
        elif want and keep and self.folder:
            d = os.path.join(self.folder, 'rob' + name)
            for p, x in zip(paths, ('qir', 'qvp', 'qvc')): os.system('cp %s %s.%s' % (p, d, x))
        return got

def executions(R, seed, net, rnd, text):
    x = [[rnd.randint(lo, hi) for _ in range(net.size(t))] for t, lo, hi in net.inputs]
    try: v, ok = execute(net, x)[net.nodes[-1]['out']], True
    except Undefined: v, ok = [0] * net.size(net.nodes[-1]['out']), False
    for off in (0, 1):
        w = list(v)
        w[rnd.randrange(len(w))] += off * rnd.choice([1, -1])
        cond = 'violations 1\nviolation %d\n' % (2 * len(w)) + ''.join('ge %d 1 1 0 %d\nge %d 1 -1 0 %d\n' % (q, e, -q, e) for e, q in enumerate(w))
        box = [[(lo, hi)] * net.size(t) for t, lo, hi in net.inputs]
        pts = None if rnd.random() < 0.7 else [x] * rnd.randint(1, 2)
        body = 'witness\n' + ''.join('input %d%s\n' % (i, words(q)) for i, q in enumerate(x)) + 'verdict falsified\n'
        R.run('%d-x%d' % (seed, off), text, prop_text(box, cond, rnd, pts), body, ok and off == 0, off == 0)

def boxes(R, seed, net, rnd, text):
    box = box_of(net, rnd, False)
    pts = list(points_of(box))
    if len(pts) > 200: return
    try: vs = [execute(net, p)[net.nodes[-1]['out']] for p in pts]
    except Undefined: vs = None
    cond, ts, _ = condition(net, rnd, vs or [[0] * net.size(net.nodes[-1]['out'])])
    want = vs is not None and not any(violated(ts, v) for v in vs)
    listed = rnd.random() < 0.3
    if listed: rnd.shuffle(pts)
    R.run('%d-p' % seed, text, prop_text(box, cond, rnd, pts if listed else None), 'points\nverdict verified\n', want)

def proofs(R, seed, net, rnd, text):
    box = box_of(net, rnd, True)
    M = Model(net, box)
    if not check_tables(net, M.root): return
    if any(n['kind'] in ('affine', 'sum', 'product') and n['acc']['mode'] == 'trap' and not M.exact[i] for i, n in enumerate(net.nodes)): return
    pts = list(points_of(box))
    if len(pts) > 400: pts = [[[rnd.randint(*q) for q in b] for b in box] for _ in range(100)]
    try: vs = [execute(net, p)[net.nodes[-1]['out']] for p in pts]
    except Undefined: vs = [[0] * net.size(net.nodes[-1]['out'])]
    else: R.executed += 1
    cond, ts, keep = condition(net, rnd, vs)
    y = net.nodes[-1]['out']
    prop = prop_text(box, cond, rnd)
    head, iv, trusted = 'goals outputs\n', M.root, 0
    for _ in range(rnd.choice([0, 0, 1, 2])):  # bounds, as tight as they can be
        t = rnd.choice(M.free)
        e, scale, hi = rnd.randrange(net.size(t)), rnd.choice([0, 0, 3]), rnd.random() < 0.5
        m = M.random_multipliers(rnd, scale)
        K = M.bound(iv, {(t, e): -2**scale if hi else 2**scale}, 0, m)
        V = (K - 1 >> scale) + 1  # the largest with K >= 2^scale * (V - 1) + 1
        if hi: V = -V
        L = lambda q: 'bound %d %d %s %d %s\n' % (t, e, 'hi' if hi else 'lo', q, mult_text(scale, m))
        R.run('%d-b' % seed, text, prop, head + L(V - 1 if hi else V + 1) + ''.join('target %d\ntrusted x\n' % j for j in ts) + 'verdict trusted %d\n' % len(ts), False)
        try: iv = M.restrict(iv, t, e, *((-2**62, V) if hi else (V, 2**62)))
        except Empty: return
        head += L(V)
    count = [0]
    def leaf(iv, target):
        """A leaf and its text, positive if it can be."""
        best = None
        for _ in range(4):
            scale = rnd.choice([0, 0, 4])
            m = M.random_multipliers(rnd, scale) if rnd.random() < 0.8 else {}
            if len(target) == 1 and keep and rnd.random() < 0.4:
                r = pair(M, iv, target[0], rnd.choice([0, 1, 3]), rnd.choice([1, 2]), m, scale, rnd)
                if r is not None:
                    K, s = r
                    if best is None or K > best[0]: best = (K, s)
                    continue
            L = [rnd.choice([0, 1, 2**scale]) for _ in target]
            if not any(L): L[0] = 2**scale
            co, d0 = {}, 0
            for l, (q, d) in zip(L, target):
                for c, e in q: co[y, e] = co.get((y, e), 0) - l * c
                d0 += l * d
            K = M.bound(iv, co, d0, m)
            if best is None or K > best[0]: best = (K, 'dual sum %d%s %s\n' % (len(L), words(L), mult_text(scale, m)))
        return best
    def tree(iv, target, depth):
        count[0] += 1
        excluded = any(sum(max(c * b for b in iv[y][e]) for c, e in q) < d for q, d in target)
        if excluded and rnd.random() < 0.7: return 'empty\n', True, 0
        K, s = leaf(iv, target)
        if K > 0: return s, True, 0
        if depth > 4 or rnd.random() < 0.15:
            k = rnd.random()
            small = 1
            for t, _, _ in net.inputs:
                for a, b in iv[t]: small *= b - a + 1
            if k < 0.4 and small <= 60:
                try: bad = any(all(sum(c * v[e] for c, e in q) >= d for q, d in target) for p in points_of([iv[t] for t, _, _ in net.inputs]) for v in [execute(net, p)[y]])
                except Undefined: bad = True
                return 'points\n', not bad, 0
            if k < 0.9: return 'trusted eng-1.x_Y\n', True, 1
            return s, False, 0  # a bound that is not positive
        cand = [(t, e) for t in M.free for e in range(net.size(t)) if iv[t][e][0] < iv[t][e][1]] or [(M.free[0], 0)]
        t, e = rnd.choice(cand)
        at = rnd.randint(iv[t][e][0] - (rnd.random() < 0.1), max(iv[t][e][0], iv[t][e][1] - 1 + (rnd.random() < 0.1)))
        r, ok, n = 'split %d %d %d\n' % (t, e, at), True, 0
        for part in ((-2**62, at), (at + 1, 2**62)):
            try: a, b, c = tree(M.restrict(iv, t, e, *part), target, depth + 1)
            except Empty: a, b, c = rnd.choice([('empty\n', True, 0), ('empty\n', True, 0), ('dual sum %d%s 0 0\n' % (len(target), words([1] * len(target))), True, 0), ('points\n', True, 0), ('trusted e\n', True, 1)])
            r += a; ok = ok and b; n += c
        return r, ok, n
    body, ok = '', True
    for j, target in ts.items():
        s, b, n = tree(iv, target, 0)
        if count[0] > 400: return
        body += 'target %d\n' % j + s
        ok, trusted = ok and b, trusted + n
    end = 'verdict trusted %d\n' % trusted if trusted else 'verdict verified\n'
    if ok and not trusted and any(violated(ts, v) for v in vs) and R.executed: R.unsound('%d-t' % seed)
    R.run('%d-t' % seed, text, prop, head + body + end, ok)
    if ok: R.run('%d-c' % seed, text, prop, head + body + 'verdict trusted %d\n' % (trusted + 1), False)
    ls = (head + body).split('\n')  # without one line
    i = rnd.randrange(1, len(ls) - 1)
    if not ls[i].startswith('bound'): R.run('%d-d' % seed, text, prop, '\n'.join(ls[:i] + ls[i + 1:]) + end, False)

def pair(M, iv, target, P, Qq, m, scale, rnd):
    net, y = M.net, net_out(M)
    q, d = target
    if sorted(c for c, _ in q) != [-1, 1]: return None
    ends = {}
    for c, e in q:
        t = y
        while True:
            i = next((i for i, n in enumerate(net.nodes) if n['out'] == t), None)
            if i is None: return None
            n = net.nodes[i]
            if n['kind'] != 'index': break
            s = source(net, n, e)
            if s is None: return None
            t, e = s
        if n['kind'] == 'step':
            p = par_of(n, e)
            if p[0] == 'RQ_D' and p[1] < 0: return None
            ends[c] = (t, e, n['ins'][0], (lambda n, e: lambda x: step_f(n, e, x))(n, e), True)
        elif n['kind'] in ('affine', 'sum') and M.exact[i]: ends[c] = (t, e, t, lambda x: x, False)
        else: return None
    tj, ej, aj, fj, sj = ends[1]
    tc, ec, ac, fc, sc = ends[-1]
    if sj != sc or (aj, ej) == (ac, ec): return None
    oc, oj = iv[tc][ec], iv[tj][ej]
    s = 'dual pair %d %d %s\n' % (P, Qq, mult_text(scale, m))
    if oc[0] > oj[1] - d: return (1, s)
    t0, t1 = max(oc[0], oj[0] - d), min(oc[1], oj[1] - d)
    t0 = min(t0, t1)
    if t1 - t0 > 4000: return None
    lc, lj = iv[ac][ec], iv[aj][ej]
    if lc[1] - lc[0] > 4000 or lj[1] - lj[0] > 4000: return None
    A = lambda t: max(a for a in range(lc[0], lc[1] + 1) if fc(a) <= t)
    B = lambda t: min(a for a in range(lj[0], lj[1] + 1) if fj(a) >= t + d)
    K = M.bound(iv, {(ac, ec): P, (aj, ej): -Qq}, 0, m)
    return (K + min(Qq * B(t) - P * A(t) for t in range(t0, t1 + 1)), s)

def net_out(M): return M.net.nodes[-1]['out']

def main():
    checker, first, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[3]) if len(sys.argv) > 3 else 300
    folder = sys.argv[4] if len(sys.argv) > 4 else None
    if folder: os.makedirs(folder, exist_ok=True)
    R = Runner(os.path.abspath(checker), folder)
    seed = first
    while seed < first + count:
        seed += 1
        logits(R, seed, random.Random(seed))
        covers(R, seed, random.Random(seed + 2 * 10**7))
        maxima(R, seed, random.Random(seed + 4 * 10**7))
        try: layers(R, seed, random.Random(seed + 3 * 10**7))
        except (IndexError, OverflowError): pass
        try: joints(R, seed, random.Random(seed + 10**7))
        except (IndexError, OverflowError): pass  # a table that does not cover
        net, rnd = small_net(seed + 10**6)
        if net is None: continue
        box = [[(lo, hi)] * net.size(t) for t, lo, hi in net.inputs]
        try:
            full = Model(net, box)
            if not check_tables(net, full.root): continue
            text = qir(net)
            for what in (executions, boxes, proofs): what(R, seed, net, rnd, text)
        except (IndexError, OverflowError): continue  # a table that does not cover
    print('joint minima of %d elements, %d points left out, %d times all of them' % (R.joined, R.left_out, R.no_point))
    print('maxima of %d elements by brute force' % R.maxima)
    print('%d runs, %d accepted, %d different' % (R.count, R.accepted, R.bad))
    sys.exit(1 if R.bad else 0)

if __name__ == '__main__': main()
