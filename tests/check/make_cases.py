#!/usr/bin/env python3
"""Small nets with certificates for the tests of qverify-check, written from docs/ only.

  make_cases.py DIR [FIRST COUNT]    writes NAME.qir, NAME.qvp (or none), NAME.qvc

Every claim is the exact image that docs/certificate.md section 3 gives, every accumulator is called harmless if the rules allow it:
so a certificate that claims more than one of these must be rejected. Beside that, each net is executed on inputs of its domain, and no
claim may be wrong. The stored cases are COUNT = 60 from FIRST = 0; others are for longer runs. The tests themselves need no Python.
"""
import hashlib, itertools, os, random, struct, sys
from fractions import Fraction as Q

def f32(x): return struct.unpack('<f', struct.pack('<f', x))[0]
def rdiv32(v, m):  # f32(v / m) from exact values
    return f32(f32(v) / f32(m))  # the binary64 quotient of binary32 numbers rounds correctly to binary32
def floor(q): return q.numerator // q.denominator
def rha(q): return floor(q + Q(1, 2)) if q >= 0 else -floor(-q + Q(1, 2))
def rne(q): return round(q)
def sat(v, a, b): return min(b, max(a, v))
def satp(v, p): return sat(v, -2**(p - 1), 2**(p - 1) - 1)
def wrapp(v, p): return (v + 2**(p - 1)) % 2**p - 2**(p - 1)
def srdhm(a, b): return 2**31 - 1 if a == b == -2**31 else (a * b + 2**30) >> 31
def rdbp(x, e): return x if e == 0 else rha(Q(x, 2**e))
def tdiv(a, b): return -((-a) // b) if a < 0 else a // b

def rq(p, v, zp):
    n = p[0]
    if n in ('RQ_D', 'RQ_U', 'RQ_S', 'RQ_64', 'RQ_T', 'RQ_TD'):
        m, sh = p[1], p[2]
        if n == 'RQ_D': return rdbp(srdhm(v * 2**max(sh, 0), m), max(-sh, 0))
        if n == 'RQ_U':
            r, x = max(-sh, 0), srdhm(v * 2**max(sh, 0), m)
            return (x + 2**(r - 1)) >> r if r else x
        if n == 'RQ_S': return (v * m + 2**(30 - sh)) >> (31 - sh)
        if n == 'RQ_64': return (v * ((m + 2**15) >> 16 if m < 0x7FFF0000 else 0x7FFF) + 2**(14 - sh)) >> (15 - sh)
        d = 0 if n == 'RQ_T' or sh <= 31 else 2**30 if v >= 0 else -2**30
        return (v * m + 2**(sh - 1) + d) >> sh
    if n == 'RQ_F32': return rne(Q(f32(f32(v) * p[1])))
    if n == 'RQ_NDU': return floor(v * Q(p[1]) + Q(1, 2))
    if n == 'RQ_F64A': return rha(Q(float(v) * p[1]))
    if n == 'RQ_REF': return rne(Q(float(v) * p[1] + float(zp))) - zp
    if n == 'RQ_F32B': return rne(Q(f32(f32(f32(v) * p[1]) + p[2])))
    if n == 'RQ_DIV': return rha(Q(v, p[1]))
    if n == 'RQ_TDIV': return tdiv(v, p[1])
    if n == 'RQ_MEANF': return rha(Q(f32(f32(rdiv32(v, p[1]) * p[2]) + p[3])))
    raise ValueError(n)

def hexf(x):
    if x == 0: return '0x0p+0'
    s = float(x).hex()
    m, e = s.split('p')
    if '.' in m: m = m.rstrip('0').rstrip('.')
    return m + 'p' + e

def prod(d):
    r = 1
    for x in d: r *= x
    return r

class Net:
    def __init__(self): self.t, self.inputs, self.nodes = [], [], []
    def tensor(self, dims, data=None):
        self.t.append((dims, data))
        return len(self.t) - 1
    def node(self, kind, ins, dims, **a):
        a.update(kind=kind, ins=ins, out=self.tensor(dims))
        self.nodes.append(a)
        return a['out']
    def size(self, t): return prod(self.t[t][0])

def acc_text(a):
    s = 'acc ' + a['mode'] + ('' if a['mode'] == 'exact' else ' bits %d' % a['bits'])
    s += ' order %s bias %s form %s' % (a['order'], a['bias'], a['form'])
    if a['mode'] in ('pair16', 'pairlanes'): s += ' pairing ' + a['pairing']
    if a['mode'] == 'lanes': s += ' lanes %d lane_bits %d lane %s spill %d' % (a['lanes'], a['lane_bits'], a['lane'], a['spill'])
    if a['mode'] == 'pairlanes': s += ' lanes %d lane %s spill %d' % (a['lanes'], a['lane'], a['spill'])
    return s + '\n'

WIN = 'n ih iw ic oh ow oc kh kw sh sw dh dw pt pl groups'.split()

def words(v): return ''.join(' %d' % x for x in v)
def line(v): return ' '.join('%d' % x for x in v) + '\n'

def attr_text(net, n):
    k = n['kind']
    if k in ('affine', 'max'): s = 'window' + ''.join(' %s %d' % (f, n[f]) for f in WIN) + '\n'
    if k == 'affine':
        s += acc_text(n['acc']) + 'x_zp %d\nw_zp %d%s\nb%s\nw\n' % (n['xz'], len(n['wz']), words(n['wz']), words(n['b']))
        return s + ''.join(line(r) for r in n['w'])
    if k == 'max': return s
    if k == 'step':
        s = 'step in_zp %d lshift %d out_zp %d lo %d hi %d inner %d\n' % tuple(n[f] for f in 'in_zp lshift out_zp lo hi inner'.split())
        s += 'idx ' + ('none' if n['idx'] is None else '%d%s' % (len(n['idx']), words(n['idx']))) + '\npar %d\n' % len(n['par'])
        return s + ''.join(' '.join(x if isinstance(x, str) else '%d' % x if isinstance(x, int) else hexf(x) for x in p) + '\n' for p in n['par'])
    if k == 'table': return 'table lo %d n %d\nt%s\n' % (n['lo'], len(n['t']), words(n['t']))
    if k == 'threshold':
        s = 'threshold inner %d par %d\n' % (n['inner'], len(n['pieces']))
        return s + ''.join('t %d%s\nv%s\n' % (len(t), words(t), words(v)) for t, v in n['pieces'])
    if k == 'sum': return acc_text(n['acc']) + 'terms\n' + ''.join('%d %d\n' % cz for cz in zip(n['c'], n['z']))
    if k == 'product': return acc_text(n['acc']) + 'product z0 %d z1 %d\n' % tuple(n['z'])
    if k == 'index':
        m = n['move']
        s = 'index ' + m
        if m in ('transpose', 'pad', 'slice'): s += ' a' + words(n['a'])
        if m in ('pad', 'slice'): s += ' b' + words(n['b'])
        if m == 'pad': s += ' value %d' % n['value']
        if m in ('concat', 'gather'): s += ' axis %d' % n['axis']
        return s + '\n' + ('g%s\n' % words(n['g']) if m == 'gather' else '')
    if k in ('clamp', 'opaque'): return '%s lo %d hi %d\n' % (k, n['lo'], n['hi'])
    if k == 'wrap': return 'wrap bits %d\n' % n['bits']
    if k == 'tail' and 'text' in n: return n['text']
    if k == 'tail': return 'tail softmax_q out_zp 0 lo %d hi %d mult 1073741824 ls 5 diff_min -100 out_bits 8\n' % (n['lo'], n['hi'])
    raise ValueError(k)

def qir(net):
    s = 'qir 1\nsource ""\nsha256 ""\nprofile ""\nformat "hand"\nnotes 1\nnote "a \\"test\\" net \\x01"\ntensors %d\n' % len(net.t)
    for i, (d, data) in enumerate(net.t):
        s += 'tensor %d name "t%d" type i32 dims %d%s scale none const %s\n' % (i, i, len(d), words(d), 'no' if data is None else 'yes')
        if data is not None: s += 'data%s\n' % words(data)
    s += 'inputs %d\n' % len(net.inputs)
    for i, (t, lo, hi) in enumerate(net.inputs): s += 'input %d tensor %d lo %d hi %d end int name "i%d"\n' % (i, t, lo, hi, i)
    s += 'nodes %d\n' % len(net.nodes)
    for i, n in enumerate(net.nodes):
        s += 'node %d %s op "X" layer %d in %d%s out %d\n' % (i, n['kind'], i, len(n['ins']), words(n['ins']), n['out']) + attr_text(net, n)
    return s + 'outputs 1\noutput 0 tensor %d end int name "y" tail none\nend\n' % net.nodes[-1]['out']

# ---- structure ---------------------------------------------------------------------------------------------------------------------
def unravel(e, dims):
    r = []
    for d in reversed(dims): r.append(e % d); e //= d
    return r[::-1]

def ravel(at, dims):
    r = 0
    for a, d in zip(at, dims): r = r * d + a
    return r

def source(net, n, e):
    m, yd, xd = n['move'], net.t[n['out']][0], net.t[n['ins'][0]][0]
    if m == 'reshape': return n['ins'][0], e
    at = unravel(e, yd)
    if m == 'transpose':
        f = [0] * len(xd)
        for d, a in enumerate(n['a']): f[a] = at[d]
        return n['ins'][0], ravel(f, xd)
    if m == 'pad':
        f = [i - a for i, a in zip(at, n['a'])]
        return (n['ins'][0], ravel(f, xd)) if all(0 <= i < d for i, d in zip(f, xd)) else None
    if m == 'slice': return n['ins'][0], ravel([a + i * b for i, a, b in zip(at, n['a'], n['b'])], xd)
    if m == 'broadcast': return n['ins'][0], ravel([0 if d == 1 else i for i, d in zip(at[len(at) - len(xd):], xd)], xd)
    if m == 'gather':
        at[n['axis']] = n['g'][at[n['axis']]]
        return n['ins'][0], ravel(at, xd)
    for t in n['ins']:
        if at[n['axis']] < net.t[t][0][n['axis']]: return t, ravel(at, net.t[t][0])
        at[n['axis']] -= net.t[t][0][n['axis']]

def taps(n, e):  # per tap in kernel order: (input element or None, tap number in the row of weights)
    o = e % n['oc']; x = e // n['oc'] % n['ow']; y = e // n['oc'] // n['ow'] % n['oh']; i = e // n['oc'] // n['ow'] // n['oh']
    icg = n['ic'] // n['groups']; g = o // (n['oc'] // n['groups'])
    k = 0
    for ky in range(n['kh']):
        for kx in range(n['kw']):
            iy, ix = y * n['sh'] - n['pt'] + ky * n['dh'], x * n['sw'] - n['pl'] + kx * n['dw']
            ok = 0 <= iy < n['ih'] and 0 <= ix < n['iw']
            for c in range(icg):
                yield (((i * n['ih'] + iy) * n['iw'] + ix) * n['ic'] + g * icg + c if ok else None), k
                k += 1

def par_of(n, e):
    q = e // n['inner'] % len(n['par'] if n['idx'] is None else n['idx'])
    return n['par'][q if n['idx'] is None else n['idx'][q]]

def threshold_f(n, e, x):
    t, v = n['pieces'][e // n['inner'] % len(n['pieces'])]
    return v[sum(1 for q in t if q <= x)]

def step_f(n, e, x):
    return sat(rq(par_of(n, e), (x - n['in_zp']) * 2**n['lshift'], n['out_zp']) + n['out_zp'], n['lo'], n['hi'])

# ---- execution ---------------------------------------------------------------------------------------------------------------------
def machine(a, P, t, raw, b):
    """The accumulator's result for terms t (raw products for raw nodes), and whether it is defined."""
    exact, corr = b + sum(t), 0
    if a['form'] == 'raw': corr = sum(t) - sum(raw)
    u = raw if a['form'] == 'raw' else t
    if a['mode'] == 'exact': return exact if P == 0 else wrapp(exact, P)
    if a['mode'] == 'wrap': return wrapp(exact, P)
    if a['mode'] == 'sat':
        s = satp(b, P) if a['bias'] == 'first' else 0
        for x in t: s = satp(s + x, P)
        return satp(s + b, P) if a['bias'] == 'last' else s
    if a['mode'] == 'trap':
        s = b if a['bias'] == 'first' else 0
        for x in t + ([b] if a['bias'] == 'last' else []):
            if s != satp(s, P): return None
            s += x
        return s if s == satp(s, P) else None
    if a['mode'] == 'pair16':
        s = 0
        for p in pairs(a, len(u)): s += satp(sum(u[i] for i in p), 16)
        return wrapp(b + s + corr, P)
    bits = a['lane_bits']
    if a['mode'] == 'pairlanes': u, bits = [satp(sum(u[i] for i in p), 16) for p in pairs(a, len(u))], 16
    lane, cnt, wide = [0] * a['lanes'], [0] * a['lanes'], 0
    for i, x in enumerate(u):
        j = i % a['lanes']
        lane[j] = (wrapp if a['lane'] == 'wrap' else satp)(lane[j] + x, bits)
        cnt[j] += 1
        if cnt[j] == a['spill']: wide += lane[j]; lane[j] = cnt[j] = 0
    return wrapp(b + wide + sum(lane) + corr, P)

def pairs(a, n):
    if a['pairing'] == 'adjacent': return [[i for i in (2 * k, 2 * k + 1) if i < n] for k in range((n + 1) // 2)]
    return [[i for i in (16 * q + k, 16 * q + k + 8) if i < n] for q in range((n + 15) // 16) for k in range(8) if 16 * q + k < n]

def windows(a, n):
    r = []
    for j in range(a['lanes']):
        own = list(range(j, n, a['lanes']))
        s = a['spill'] or len(own) or 1
        r += [own[i:i + s] for i in range(0, len(own), s)]
    return r

def terms_at(net, n, e, v):
    """Corrected terms, raw products and bias of element e for values v[t][e]."""
    if n['kind'] == 'affine':
        o = e % n['oc']; wz = n['wz'][o if len(n['wz']) > 1 else 0]; x = v[n['ins'][0]]
        t, r = [], []
        for s, k in taps(n, e):
            w = n['w'][o][k]
            t.append(0 if s is None else (w - wz) * (x[s] - n['xz']))
            r.append(w * (n['xz'] if s is None else x[s]))
        return t, r, n['b'][o]
    xs = [v[i][e] for i in n['ins']]
    t = [c * (x - z) for c, x, z in zip(n['c'], xs, n['z'])] if n['kind'] == 'sum' else [(xs[0] - n['z'][0]) * (xs[1] - n['z'][1])]
    return t, t, 0

def run(net, inputs, rnd, claimed_bits, harm):
    v = {t: d for t, (_, d) in enumerate(net.t) if d is not None}
    for (t, _, _), x in zip(net.inputs, inputs): v[t] = x
    for i, n in enumerate(net.nodes):
        k, y = n['kind'], []
        x = v[n['ins'][0]]
        for e in range(net.size(n['out'])):
            if k in ('affine', 'sum', 'product'):
                t, r, b = terms_at(net, n, e, v)
                P = n['acc'].get('bits', 0)
                res = machine(n['acc'], P, t, r, b)
                for order in range(3 if n['acc']['order'] == 'any' else 1):
                    perm = list(range(len(t)))
                    if order: rnd.shuffle(perm)
                    if machine(n['acc'], claimed_bits or P, [t[q] for q in perm], [r[q] for q in perm], b) != b + sum(t): harm[i] = False
                y.append(res if res is not None else wrapp(b + sum(t), P))
            elif k == 'step': y.append(step_f(n, e, x[e]))
            elif k == 'table': y.append(n['t'][x[e] - n['lo']])
            elif k == 'threshold': y.append(threshold_f(n, e, x[e]))
            elif k == 'max': y.append(max(x[s] for s, _ in taps(n, e) if s is not None))
            elif k == 'index':
                s = source(net, n, e)
                y.append(n['value'] if s is None else v[s[0]][s[1]])
            elif k == 'clamp': y.append(sat(x[e], n['lo'], n['hi']))
            elif k == 'wrap': y.append(wrapp(x[e], n['bits']))
            else: y.append(rnd.randint(n['lo'], n['hi']))
        v[n['out']] = y
    return v

# ---- the rules of docs/certificate.md section 3 ---------------------------------------------------------------------------------------
def fits(iv, p): return iv[0] >= -2**(p - 1) and iv[1] < 2**(p - 1)
def hull(*ivs): return (min(i[0] for i in ivs), max(i[1] for i in ivs))
def isum(ivs): return (sum(i[0] for i in ivs), sum(i[1] for i in ivs))

def bounds(n, e, iv_of):
    if n['kind'] == 'affine':
        o = e % n['oc']; wz = n['wz'][o if len(n['wz']) > 1 else 0]
        t, r, b = [], [], n['b'][o]
        for s, k in taps(n, e):
            w = n['w'][o][k]
            x = (n['xz'], n['xz']) if s is None else iv_of(0, s)
            t.append(tuple(sorted((w - wz) * (q - n['xz']) for q in x)))
            r.append(tuple(sorted(w * q for q in x)))
    else:
        xs, b = [iv_of(k, e) for k in range(len(n['ins']))], 0
        if n['kind'] == 'sum': t = [tuple(sorted(c * (q - z) for q in x)) for c, x, z in zip(n['c'], xs, n['z'])]
        else:
            p = [(q - n['z'][0]) * (s - n['z'][1]) for q in xs[0] for s in xs[1]]
            t = [(min(p), max(p))]
        r = t
    a = n['acc']
    u = r if a['form'] == 'raw' else t
    s = {'final': (b + isum(t)[0], b + isum(t)[1])}
    pre, first = [], b if a['bias'] == 'first' else 0
    for i in range(len(t) + 1): pre.append((first + isum(t[:i])[0], first + isum(t[:i])[1]))
    s['prefix'] = hull(s['final'], *pre)
    s['any'] = (min(b, 0) + sum(min(0, q[0]) for q in t), max(b, 0) + sum(max(0, q[1]) for q in t))
    low, high = sorted(min(0, q[0]) for q in u), sorted((max(0, q[1]) for q in u), reverse=True)
    if a['mode'] == 'pair16':
        ps = [isum([u[i] for i in p]) for p in pairs(a, len(u))]
        s['stage'] = hull(*ps) if a['order'] == 'kernel' else (sum(low[:2]), sum(high[:2]))
        s['machine'] = (s['final'][0] + sum(min(0, 32767 - p[1]) for p in ps), s['final'][1] + sum(max(0, -32768 - p[0]) for p in ps))
    if a['mode'] in ('lanes', 'pairlanes'):
        pairs_hull = []
        if a['mode'] == 'pairlanes': u = pairs_hull = [isum([u[i] for i in p]) for p in pairs(a, len(u))]
        if a['order'] == 'any': s['stage'] = (sum(low), sum(high))
        elif a['lane'] == 'wrap': s['stage'] = hull(*[isum([u[i] for i in w]) for w in windows(a, len(u))], *pairs_hull)
        else: s['stage'] = hull(*[isum([u[i] for i in w[:q]]) for w in windows(a, len(u)) for q in range(len(w) + 1)], *pairs_hull)
    return s

def harmless(a, W, s, final):
    m = a['mode']
    if m == 'exact' and W == 0: return True
    if m in ('exact', 'wrap'): return fits(final, W)
    if m in ('sat', 'trap'): return fits(s['any'] if a['order'] == 'any' else s['prefix'], W)
    return fits(s['stage'], 16 if m in ('pair16', 'pairlanes') else a['lane_bits']) and fits(final, W)

def image(a, P, s, final):
    if harmless(a, P, s, final): return final
    full = (-2**(P - 1), 2**(P - 1) - 1)
    if a['mode'] == 'sat': return (satp(s['any'][0], P), satp(s['any'][1], P))
    if a['mode'] == 'pair16' and a['order'] == 'kernel' and fits(s['machine'], P): return s['machine']
    return full

def linear(net, c, node, e, upper, frm, own):
    co, C = {}, 0
    def const(v):
        nonlocal C
        C += v
    def add(t, s, a): co.setdefault(t, {}); co[t][s] = co[t].get(s, 0) + a
    def pick(a, iv): return iv[1] if (a > 0) == upper else iv[0]
    def other(t, s, a): const(2**16 * a * pick(a, rng(net, c, t, s)))
    def affine(n, s, a):
        o = s % n['oc']; wz = n['wz'][o if len(n['wz']) > 1 else 0]
        total = 0
        for q, k in taps(n, s):
            if q is None: continue
            total += n['w'][o][k] - wz
            add(n['ins'][0], q, a * (n['w'][o][k] - wz))
        const(2**16 * a * (n['b'][o] - n['xz'] * total))
    affine(net.nodes[node], e, 2**16)
    for k in range(node - 1, frm - 1, -1):
        n = net.nodes[k]
        for s, a in sorted(co.pop(n['out'], {}).items()):
            if a == 0: continue
            kind = n['kind']
            if kind == 'affine' and own[k]: affine(n, s, a)
            elif kind == 'sum' and own[k]:
                for t, cc, z in zip(n['ins'], n['c'], n['z']): add(t, s, a * cc); const(-2**16 * a * cc * z)
            elif kind == 'index':
                q = source(net, n, s)
                if q is None: const(2**16 * a * n['value'])
                else: add(q[0], q[1], a)
            elif kind in ('step', 'table', 'clamp', 'threshold'):
                l, u = rng(net, c, n['ins'][0], s)
                f = (lambda x: step_f(n, s, x)) if kind == 'step' else (lambda x: threshold_f(n, s, x)) if kind == 'threshold' else (lambda x: n['t'][x - n['lo']]) if kind == 'table' else (lambda x: sat(x, n['lo'], n['hi']))
                if l == u: const(2**16 * a * f(l)); continue
                if u - l > 2**20: other(n['out'], s, a); continue
                fs = [f(x) for x in range(l, u + 1)]
                cc, d = l, u
                while cc < u and fs[cc + 1 - l] == fs[0]: cc += 1
                while d > l and fs[d - 1 - l] == fs[-1]: d -= 1
                slopes = [(fs[-1] - fs[0]) * 2**16 // (u - l), 0] + ([(f(d) - f(cc)) * 2**16 // (d - cc)] if cc < d else [])
                t = [[2**16 * y - p * (l + i) for i, y in enumerate(fs)] for p in slopes]
                if (a > 0) == upper: j = min(range(len(slopes)), key=lambda i: slopes[i] * (l + u) + 2 * max(t[i])); p, tt = slopes[j], max(t[j])
                else: j = max(range(len(slopes)), key=lambda i: slopes[i] * (l + u) + 2 * min(t[i])); p, tt = slopes[j], min(t[j])
                const(a * tt)
                a1 = a * p >> 16
                r = a * p - (a1 << 16)
                add(n['ins'][0], s, a1)
                const(r * (u if upper else l))
            else: other(n['out'], s, a)
    for t in co:
        for s, a in co[t].items(): other(t, s, a)
    return C >> 32 if upper else -(-C >> 32)

def rng(net, c, t, e):
    if net.t[t][1] is not None: return (net.t[t][1][e],) * 2
    n, inner, iv = c[t]
    return iv[e // inner % n]

def pack(ivs, forms):
    """The claim of a tensor with element intervals ivs in form (N, INNER), as the hull of what falls together."""
    n, inner = forms
    r = [None] * n
    for e, iv in enumerate(ivs):
        q = e // inner % n
        r[q] = iv if r[q] is None else hull(r[q], iv)
    return (n, inner, r)

def obligation(n, p, x):
    v = (x - n['in_zp']) * 2**n['lshift']
    if not fits((v, v), 48 if p[0] == 'RQ_64' else 32): return False
    if p[0] in ('RQ_D', 'RQ_U') and p[2] > 0 and not fits((v * 2**p[2],) * 2, 32): return False
    if p[0] in ('RQ_T', 'RQ_TD') and not fits((v, v), p[2]): return False
    return p[0] in ('RQ_F32', 'RQ_F32B', 'RQ_REF') or fits((rq(p, v, n['out_zp']) + n['out_zp'],) * 2, 32)

def certify(net, prop, acc_bits, text, prop_text, rnd):
    c, accs, obls, own, lin = {}, [], [], {}, []
    for (t, _, _), p in zip(net.inputs, prop): c[t] = pack(p, form(net, t, rnd, p))
    for i, n in enumerate(net.nodes):
        k, out, size = n['kind'], n['out'], net.size(n['out'])
        ivs = []
        x = lambda e: rng(net, c, n['ins'][0], e)
        if k in ('affine', 'sum', 'product'):
            iv_of, by_channel = (lambda q, e: rng(net, c, n['ins'][q], e)), k == 'affine' and rnd.random() < 0.5
            if by_channel:
                ch = pack([x(e) for e in range(net.size(n['ins'][0]))], (n['ic'], 1))[2]
                iv_of = lambda q, e: ch[e % n['ic']]
            P = n['acc'].get('bits', 0); W = acc_bits or P
            bs = [bounds(n, e, iv_of) for e in range(size)]
            fin = [b['final'] for b in bs]
            f = form(net, out, rnd, fin)
            claim = pack(fin, f)
            if k == 'affine' and rnd.random() < 0.7 and f == (n['oc'], 1):
                new = list(claim[2])
                for o in range(n['oc']):
                    frm = rnd.randint(0, i)
                    for upper in (False, True):
                        lb = [linear(net, c, i, e, upper, frm, own) for e in range(o, size, n['oc'])]
                        now = new[o][1 if upper else 0]
                        fo = [fin[e][1 if upper else 0] for e in range(o, size, n['oc'])]  # a row proves the end only where it is tighter
                        best = max(map(min, lb, fo)) if upper else min(map(max, lb, fo))
                        if (best < now if upper else best > now):
                            new[o] = (new[o][0], best) if upper else (best, new[o][1])
                            lin.append((i, o, upper, frm))
                claim = (n['oc'], 1, new)
            at = lambda e: claim[2][e // f[1] % f[0]]
            row = lambda e, upper: any(l[:3] == (i, e % n['oc'], upper) for l in lin)
            use = [(max(fin[e][0], at(e)[0]) if k == 'affine' and row(e, False) else fin[e][0],
                    min(fin[e][1], at(e)[1]) if k == 'affine' and row(e, True) else fin[e][1]) for e in range(size)]
            h = [harmless(n['acc'], P, bs[e], use[e]) for e in range(size)]
            own[i] = all(h)
            if not own[i]:
                lin = [l for l in lin if l[0] != i]
                use = fin
                h = [harmless(n['acc'], P, bs[e], use[e]) for e in range(size)]
                own[i] = all(h)
                claim = pack([image(n['acc'], P, bs[e], fin[e]) for e in range(size)], f)
            accs.append((i, W, all(harmless(n['acc'], W, bs[e], use[e]) for e in range(size)), by_channel))
            c[out] = claim
            continue
        for e in range(size):
            if k == 'step':
                v = [step_f(n, e, q) for q in x(e)]
                ivs.append((min(v), max(v)))
            elif k == 'table':
                v = n['t'][x(e)[0] - n['lo']:x(e)[1] - n['lo'] + 1]
                ivs.append((min(v), max(v)))
            elif k == 'threshold':
                v = [threshold_f(n, e, q) for q in range(x(e)[0], x(e)[1] + 1)] if x(e)[1] - x(e)[0] < 3000 else [q for q in n['pieces'][e // n['inner'] % len(n['pieces'])][1]]
                ivs.append((min(v), max(v)))
            elif k == 'clamp': ivs.append(tuple(sat(q, n['lo'], n['hi']) for q in x(e)))
            elif k == 'wrap': ivs.append(x(e) if fits(x(e), n['bits']) else (-2**(n['bits'] - 1), 2**(n['bits'] - 1) - 1))
            elif k == 'max':
                t = [x(s) for s, _ in taps(n, e) if s is not None]
                ivs.append((max(q[0] for q in t), max(q[1] for q in t)))
            elif k == 'index':
                s = source(net, n, e)
                ivs.append((n['value'],) * 2 if s is None else rng(net, c, *s))
            else: ivs.append((n['lo'], n['hi']))
        if k == 'step': obls.append((i, all(obligation(n, par_of(n, e), q) for e in range(size) for q in x(e))))
        c[out] = pack(ivs, form(net, out, rnd, ivs))
    ok = all(own.values()) and all(a[2] for a in accs) and all(o[1] for o in obls) and accs + obls and not any(n['kind'] == 'opaque' for n in net.nodes)
    s = 'qvc 1\nclaim overflow\nnet %s\nproperty %s\n' % (sha(text), sha(prop_text) if prop_text else '-')
    for t in sorted(c): s += 'tensor %d %d %d\n%s\n' % (t, c[t][0], c[t][1], ' '.join('%d %d' % iv for iv in c[t][2]))
    for a in accs: s += 'acc %d %d %s %s\n' % (a[0], a[1], 'harmless' if a[2] else 'open', 'channel' if a[3] else 'position')
    for l in sorted(lin): s += 'linear %d %s %d %d\n' % (l[0], 'hi' if l[2] else 'lo', l[1], l[3])
    for o in obls: s += 'obligation %d %s\n' % (o[0], 'holds' if o[1] else 'open')
    s += 'verdict %s\n' % ('verified' if ok else 'unknown')
    return s + 'sha256 %s\n' % sha(s), c, {a[0]: a[2] for a in accs}

def form(net, t, rnd, ivs):
    d = net.t[t][0]
    size = prod(d)
    good = [(1, 1), (size, 1)] + ([(d[-1], 1)] * 3 if d else []) + [(d[q], prod(d[q + 1:])) for q in range(len(d))]
    return rnd.choice(good)

def sha(s): return hashlib.sha256(s.encode('ascii')).hexdigest()

# ---- random nets ---------------------------------------------------------------------------------------------------------------------
def acc(rnd, kind, lo, hi):
    need = max(2, max(-lo - 1 if lo < 0 else 0, hi).bit_length() + 1)
    modes = ['exact', 'wrap', 'sat', 'trap'] + (['pair16', 'lanes', 'pairlanes', 'lanes'] if kind == 'affine' else [])
    a = dict(mode=rnd.choice(modes), bits=sat(need + rnd.choice([-1, 0, 0, 1, 3]), 2, 62), order=rnd.choice(['kernel', 'kernel', 'any']),
             bias=rnd.choice(['last', 'first']), form='corrected', pairing=rnd.choice(['adjacent', 'k8']), lanes=rnd.randint(1, 4),
             lane_bits=sat(need + rnd.randint(-3, 2), 8, 32), lane=rnd.choice(['wrap', 'sat']), spill=rnd.choice([0, 1, 2, 3]))
    if a['mode'] == 'exact': del a['bits']
    if kind == 'affine' and a['mode'] not in ('sat', 'trap') and rnd.random() < 0.4: a['form'] = 'raw'
    return a

def par(rnd, name, span):
    scale = rnd.choice([3, 20, 127]) / max(1, span)
    e = 0
    while scale >= 1: scale /= 2; e += 1
    while scale < 0.5: scale *= 2; e -= 1
    m = min(2**31 - 1, int(scale * 2**31))
    M = f32(scale * 2.0**e)
    if name in ('RQ_D', 'RQ_U', 'RQ_S'): return (name, -m if name == 'RQ_D' and rnd.random() < 0.1 else m, sat(e, -31, 7))
    if name == 'RQ_64': return (name, m, sat(e, -31, 7))
    if name in ('RQ_T', 'RQ_TD'): return (name, m, sat(31 - e, 2, 62))
    if name in ('RQ_F32', 'RQ_NDU', 'RQ_F64A', 'RQ_REF'): return (name, M)
    if name == 'RQ_F32B': return (name, M, f32(rnd.uniform(-3, 3)))
    if name in ('RQ_DIV', 'RQ_TDIV'): return (name, rnd.randint(1, max(2, span // 20)))
    return (name, rnd.randint(1, 9), M, f32(rnd.uniform(-3, 3)))

FNS = 'RQ_D RQ_U RQ_S RQ_64 RQ_T RQ_TD RQ_F32 RQ_NDU RQ_F64A RQ_REF RQ_F32B RQ_DIV RQ_TDIV RQ_MEANF'.split()

def span(c, net, t):
    ivs = [rng(net, c, t, e) for e in range(net.size(t))]
    return min(i[0] for i in ivs), max(i[1] for i in ivs)

def grow(seed):
    rnd = random.Random(seed)
    net = Net()
    net.inputs = []
    big = rnd.random() < 0.4
    dims = rnd.choice([[1, 2, 2, 1], [1, 1, 3, 2], [1, 4], [2, 2], [1, 3, 1, 2], [1, 2, 2, 2]])
    for _ in range(rnd.choice([1, 1, 2])):
        lo = rnd.randint(-3, 0) * (40 if big else 1)
        net.inputs.append((net.tensor(dims), lo, lo + rnd.randint(0, 4) * (30 if big else 1)))
    cur = [t for t, _, _ in net.inputs]
    if rnd.random() < 0.5: cur.append(net.tensor(dims, [rnd.randint(-5, 5) for _ in range(prod(dims))]))
    est = {t: (lo, hi) for t, lo, hi in net.inputs}
    for t, (_, d) in enumerate(net.t):
        if d is not None: est[t] = (min(d), max(d))
    kinds = ['affine', 'step', 'table', 'sum', 'product', 'max', 'index', 'clamp', 'wrap', 'tail', 'opaque', 'affine', 'step', 'affine', 'threshold']
    count = rnd.randint(2, 6)
    for q in range(count):
        k = kinds[(seed + q) % len(kinds)] if q == 0 or rnd.random() < 0.5 else rnd.choice(kinds)
        if q == 1 and rnd.random() < 0.5: k = rnd.choice(['step', 'clamp', 'index', 'table'])
        if q == 2 and rnd.random() < 0.5: k = 'affine'
        if k in ('tail', 'opaque') and q + 1 < count and rnd.random() < 0.7: k = 'affine'
        x = cur[-1] if rnd.random() < 0.9 else rnd.choice(cur)
        d, (lo, hi) = net.t[x][0], est[x]
        size = prod(d)
        if max(-lo, hi) > 2**40: k = 'clamp'
        if k in ('affine', 'max'):
            dd = [1] * (4 - len(d)) + d if len(d) <= 4 else [prod(d[:-3])] + d[-3:]
            w = dict(n=dd[0], ih=dd[1], iw=dd[2], ic=dd[3], sh=rnd.randint(1, 2), sw=1, dh=1, dw=rnd.randint(1, 2))
            w.update(kh=rnd.randint(1, 2), kw=rnd.randint(1, 3), pt=rnd.randint(0, 1), pl=rnd.randint(0, 1))
            if rnd.random() < 0.3: w.update(kh=1, kw=1, pt=0, pl=0, sh=1)
            w['groups'] = rnd.choice([g for g in (1, 2) if w['ic'] % g == 0])
            w['oc'] = w['groups'] * rnd.randint(1, 2)
            w.update(oh=rnd.randint(1, 2), ow=rnd.randint(1, 2))
            if k == 'max':
                w.update(groups=w['ic'], oc=w['ic'])
                probe = dict(w, oh=w['oh'])
                if not all(any(s is not None for s, _ in taps(probe, e)) for e in range(w['n'] * w['oh'] * w['ow'] * w['oc'])): k = 'step'
        if k == 'affine':
            K = w['kh'] * w['kw'] * (w['ic'] // w['groups'])
            mag = rnd.choice([1, 3, 9, 127, 5000 if big else 20000])
            w.update(w=[[rnd.randint(-mag, mag) for _ in range(K)] for _ in range(w['oc'])], b=[rnd.randint(-mag * 3, mag * 3) for _ in range(w['oc'])])
            w.update(xz=rnd.choice([0, max(lo, -2**31), -1]), wz=rnd.choice([[0], [rnd.randint(-2, 2)], [rnd.randint(-2, 2) for _ in range(w['oc'])]]))
            m = (mag + 2) * max(abs(lo - w['xz']), abs(hi - w['xz'])) * K + 3 * mag
            w['acc'] = acc(rnd, k, -m // rnd.choice([1, 2, 3]), m // rnd.choice([1, 2, 4]))
            y = net.node(k, [x], [w['n'], w['oh'], w['ow'], w['oc']], **w)
            b = w['acc'].get('bits', 0)
            est[y] = (-m, m) if not b else (max(-m, -2**(b - 1)) if m < 2**(b - 1) else -2**(b - 1), min(m, 2**(b - 1) - 1))
        elif k == 'max':
            y = net.node(k, [x], [w['n'], w['oh'], w['ow'], w['oc']], **w)
            est[y] = (lo, hi)
        elif k == 'step':
            f = dict(in_zp=rnd.choice([0, 0, 3]), lshift=rnd.choice([0, 0, 0, 4]), out_zp=rnd.choice([0, -5, 7]), inner=1, idx=None)
            r = rnd.choice([5, 40, 127])
            f.update(lo=-r, hi=rnd.choice([r, 10**6]))
            sets = rnd.choice([1, d[-1] if d else 1])
            f['par'] = [par(rnd, rnd.choice(FNS), max(-lo, hi, 1) << f['lshift']) for _ in range(sets)]
            if rnd.random() < 0.3 and d: f['idx'] = [rnd.randrange(sets) for _ in range(d[-1])]
            if rnd.random() < 0.2 and len(f['par']) == 1 and not f['idx']: f['inner'] = 1234567
            y = net.node(k, [x], d, **f)
            est[y] = (f['lo'], f['hi'])
        elif k == 'table' and hi - lo < 2000:
            t = [rnd.randint(-9, 9) if rnd.random() < 0.3 else i // 3 for i in range(hi - lo + 3)]
            y = net.node(k, [x], d, lo=lo - 1, t=t)
            est[y] = (min(t), max(t))
        elif k == 'threshold' and hi - lo < 2500:
            f = dict(pieces=[], inner=1)
            for _ in range(rnd.choice([1, d[-1] if d else 1])):
                t = sorted(rnd.sample(range(lo - 3, hi + 4), rnd.randint(0, min(9, hi - lo + 5))))
                f['pieces'].append((t, [rnd.randint(-9, 9) if rnd.random() < 0.4 else q * 3 for q in range(len(t) + 1)]))
            y = net.node(k, [x], d, **f)
            est[y] = (min(min(v) for _, v in f['pieces']), max(max(v) for _, v in f['pieces']))
        elif k in ('sum', 'product'):
            ins = [x, rnd.choice([t for t in cur if prod(net.t[t][0]) == size])] + ([x] if k == 'sum' and rnd.random() < 0.3 else [])
            z = [rnd.randint(-3, 3) for _ in ins]
            cc = [rnd.choice([1, -1, 2, 100, -37]) for _ in ins]
            mags = [max(abs(est[t][0] - zz), abs(est[t][1] - zz)) for t, zz in zip(ins, z)]
            m = sum(abs(q) * g for q, g in zip(cc, mags)) if k == 'sum' else mags[0] * mags[1]
            a = acc(rnd, k, -m // rnd.choice([1, 2]), m)
            y = net.node(k, ins, d, acc=a, z=z, c=cc)
            est[y] = (-max(m, 2**(a.get('bits', 1) - 1)), max(m, 2**(a.get('bits', 1) - 1)))
        elif k == 'index' and size <= 24:
            mv = rnd.choice('reshape transpose pad concat slice broadcast gather'.split())
            r = len(d)
            ax = rnd.randrange(r)
            f, ins, dd = {}, [x], list(d)
            if mv == 'reshape': dd = [size]
            elif mv == 'transpose': f['a'] = rnd.sample(range(r), r); dd = [d[i] for i in f['a']]
            elif mv == 'pad':
                f = dict(a=[rnd.randint(0, 1) if i == ax else 0 for i in range(r)], b=[rnd.randint(0, 1) if i == r - 1 else 0 for i in range(r)], value=rnd.randint(-3, 3))
                dd = [q + a + b for q, a, b in zip(d, f['a'], f['b'])]
            elif mv == 'concat':
                ins = [x, x] + [t for t in cur if net.t[t][0] == d][:1]
                f['axis'] = ax; dd[ax] = d[ax] * len(ins)
            elif mv == 'slice':
                f = dict(a=[0] * r, b=[1] * r)
                f['a'][ax], f['b'][ax] = d[ax] - 1, -1
                if d[-1] > 1 and ax != r - 1: f['a'][-1] = 1; dd[-1] -= 1
            elif mv == 'broadcast': dd = [2] + [2 if q == 1 and i == ax else q for i, q in enumerate(d)]; dd = dd[1:] if r == 8 else dd
            else: f = dict(axis=ax, g=[rnd.randrange(d[ax]) for _ in range(rnd.randint(1, 3))]); dd[ax] = len(f['g'])
            y = net.node('index', ins, dd, move=mv, **f)
            es = [est[t] for t in ins] + ([(f['value'],) * 2] if mv == 'pad' else [])
            est[y] = hull(*es)
        elif k == 'wrap':
            b = sat(max(-lo, hi).bit_length() + rnd.choice([0, 1, 2]), 2, 62)
            y = net.node(k, [x], d, bits=b)
            est[y] = (max(lo, -2**(b - 1)) if fits((lo, hi), b) else -2**(b - 1), 2**(b - 1) - 1)
        elif k == 'tail' and hi - lo < 256:
            y = net.node(k, [x], d, lo=-128, hi=127)
            est[y] = (-128, 127)
        elif k == 'opaque':
            y = net.node(k, [x, cur[0]], d, lo=-3, hi=4)
            est[y] = (-3, 4)
        else:
            c = max(2, (hi - lo) // 3) if rnd.random() < 0.5 else 50
            y = net.node('clamp', [x], d, lo=sat(lo + c // 2, -10**6, 10**6), hi=sat(max(hi - c, lo + c // 2), -10**6, 10**6))
            est[y] = (net.nodes[-1]['lo'], net.nodes[-1]['hi'])
        cur.append(y)
    # the tables must cover what the claims allow: give up on a net where they do not
    return net, rnd

def main():
    folder, first, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[3]) if len(sys.argv) > 3 else 60
    os.makedirs(folder, exist_ok=True)
    made = seed = 0
    while made < first + count:
        seed += 1
        net, rnd = grow(seed)
        prop_text, acc_bits = None, rnd.choice([0, 0, 0, rnd.randint(2, 24)])
        prop = [[(lo, hi)] * net.size(t) for t, lo, hi in net.inputs]
        if acc_bits or rnd.random() < 0.5:
            prop_text = 'qvp 1\nclaim overflow\nacc-bits %d\n' % acc_bits
            for i, (t, lo, hi) in enumerate(net.inputs):
                what = rnd.choice(['all', 'range', 'elements'])
                pick = lambda: tuple(sorted((rnd.randint(lo, hi), rnd.randint(lo, hi))))
                if what == 'range': prop[i] = [pick()] * net.size(t)
                if what == 'elements': prop[i] = [pick() for _ in range(net.size(t))]
                prop_text += 'input %d %s\n' % (i, 'all' if what == 'all' else 'range %d %d' % prop[i][0] if what == 'range' else 'elements %d' % net.size(t))
                if what == 'elements': prop_text += ''.join('%d %d\n' % iv for iv in prop[i])
            prop_text += 'end\n'
        text = qir(net)
        try:
            cert, claims, harm = certify(net, prop, acc_bits, text, prop_text, rnd)
        except (IndexError, ValueError, OverflowError):
            continue  # a table that does not cover the claims
        bad = [n for n in net.nodes if n['kind'] == 'table' and any(
            q < n['lo'] or q >= n['lo'] + len(n['t']) for e in range(net.size(n['ins'][0])) for q in rng(net, claims, n['ins'][0], e))]
        if bad or any(abs(q) > 2**62 for c in claims.values() for iv in c[2] for q in iv): continue
        made += 1
        if made <= first: continue
        name = os.path.join(folder, 'case%03d' % (made - 1))
        # execute: no claim may be wrong
        box = [list(range(iv[0], iv[1] + 1)) for p in prop for iv in p]
        total = prod([len(b) for b in box])
        pts = itertools.product(*box) if total <= 300 else ([rnd.choice([b[0], b[-1], rnd.choice(b)]) for b in box] for _ in range(200))
        for pt in pts:
            ins, at = [], 0
            for p in prop: ins.append(list(pt[at:at + len(p)])); at += len(p)
            truth = dict(harm)
            v = run(net, ins, rnd, acc_bits, truth)
            for t in claims:
                for e, q in enumerate(v[t]):
                    iv = rng(net, claims, t, e)
                    assert iv[0] <= q <= iv[1], (name, seed, t, e, q, iv, pt)
            assert truth == harm, (name, seed, truth, harm, pt)
        for ext, s in (('qir', text), ('qvp', prop_text), ('qvc', cert)):
            if s: open('%s.%s' % (name, ext), 'w', newline='').write(s)

if __name__ == '__main__': main()
