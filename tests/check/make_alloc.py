#!/usr/bin/env python3
"""Random small allocation problems with certificates for qverify-check, written from docs/allocation.md and docs/allocation-certificate.md only.

  make_alloc.py CHECKER [FIRST COUNT [DIR]]   compares the checker with this model and with brute force; stores accepted ones in DIR
"""
import hashlib, itertools, os, random, subprocess, sys, tempfile

INF = float('inf')
def sha(s): return hashlib.sha256(s.encode('ascii')).hexdigest()
def words(v): return ''.join(' %d' % x for x in v)

class Problem:
    def __init__(self, rnd):
        self.M, self.G = rnd.randint(0, 3), rnd.randint(1, 4)
        big = rnd.choice([3, 20, 10**30])
        val = lambda: rnd.choice([0, rnd.randint(-2, 9), rnd.randint(0, big)])
        self.n = [rnd.randint(1, 4) for _ in range(self.G)]
        self.L = rnd.choice([0, 0, rnd.randint(2, 4)])
        self.K = rnd.randint(1, self.L - 1) if self.L else 0
        self.cls = [[rnd.randint(0, self.L) for _ in range(n)] for n in self.n]
        self.loss = [[val() for _ in range(n)] for n in self.n]
        self.cost = [[[val() for _ in range(self.M)] for _ in range(n)] for n in self.n]
        self.blocks = []
        for g in range(self.G):
            for h in range(g + 1, self.G):
                if rnd.random() < (0.3 if rnd.random() < 0.8 else 0): self.blocks.append((g, h, {}))
        self.blocks = [b for b in self.blocks if rnd.random() < 0.7]
        for g, h, t in self.blocks:
            for ab in itertools.product(range(self.n[g]), range(self.n[h])):
                if rnd.random() < 0.5: t[ab] = None if rnd.random() < 0.3 else (val(), [val() for _ in range(self.M)])
            if not t: t[0, 0] = (0, [0] * self.M)
        self.limit = [None] * self.M
        costs = [self.value(x)[1] for x in self.all()]
        for m in range(self.M):
            if rnd.random() < 0.7: self.limit[m] = rnd.choice(costs)[m] - (rnd.random() < 0.3)
    def all(self): return itertools.product(*[range(n) for n in self.n])
    def value(self, x):
        l, c = sum(self.loss[g][a] for g, a in enumerate(x)), [sum(self.cost[g][a][m] for g, a in enumerate(x)) for m in range(self.M)]
        for g, h, t in self.blocks:
            e = t.get((x[g], x[h]), (0, [0] * self.M))
            if e is None: e = (0, [0] * self.M)
            l += e[0]; c = [p + q for p, q in zip(c, e[1])]
        return l, c
    def feasible(self, x):
        l, c = self.value(x)
        return all(b is None or q <= b for q, b in zip(c, self.limit)) and all(t.get((x[g], x[h]), 0) is not None for g, h, t in self.blocks) and \
            (not self.L or len({self.cls[g][a] for g, a in enumerate(x)} - {0}) <= self.K)
    def spread(self, m, total=False):
        s = sum(max(c[m] for c in g) - (0 if total else min(c[m] for c in g)) for g in self.cost)
        for _, _, t in self.blocks:
            e = [v[1][m] for v in t.values() if v is not None] or [0]
            s += max(0, max(e)) - (0 if total else min(0, min(e)))
        return s
    def weights(self, R):
        w, r = 1, {}
        for m in reversed(R): r[m] = w; w *= self.spread(m) + 1
        return w, r
    def text(self):
        s = 'qap 1\nloss 3/7\nrows %d\n' % self.M
        for m, b in enumerate(self.limit): s += 'row "r%d" %s 1/1\n' % (m, '-' if b is None else b)
        s += 'classes %d %d\ngroups %d\n' % (self.L, self.K, self.G)
        for g in range(self.G):
            s += 'group "g%d" %d\n' % (g, self.n[g])
            for a in range(self.n[g]): s += 'cand "c" %d %d%s\n' % (self.cls[g][a], self.loss[g][a], words(self.cost[g][a]))
        s += 'pairs %d\n' % len(self.blocks)
        for g, h, t in self.blocks:
            s += 'pair %d %d %d\n' % (g, h, len(t))
            for (a, b), v in sorted(t.items()): s += 'term %d %d %s\n' % (a, b, 'forbidden' if v is None else '%d%s' % (v[0], words(v[1])))
        return s + 'end\n'

class Tree:
    """A random tree for target T; .ok says whether the rules accept it."""
    def __init__(self, p, rnd, T, R, limit):
        self.p, self.rnd, self.T, self.limit, self.ok = p, rnd, T, limit, True
        w, r = p.weights(R)
        key = lambda l, c: w * l + sum(r[m] * c[m] for m in R)
        self.key = [[key(p.loss[g][a], p.cost[g][a]) for a in range(p.n[g])] for g in range(p.G)]
        self.ekey = [{ab: key(*v) for ab, v in t.items() if v is not None} for _, _, t in p.blocks]
        self.vectors = [self.vector() for _ in range(rnd.randint(1, 5))]
        body = self.node([set(range(n)) for n in p.n], ['free'] * (p.L + 1), 0)
        s = 'mults %d\n' % len(self.vectors)
        for d, rows, duals in self.vectors:
            s += 'mult %d %d %d%s\n' % (d, len(rows), len(duals), ''.join(' %d %d' % q for q in sorted(rows.items())))
            for e, u in sorted(duals.items()): s += 'dual %d%s\n' % (e, words(u))
        self.text = s + body
    def vector(self):
        rnd, p = self.rnd, self.p
        d = 0 if self.T == INF or rnd.random() < 0.2 else rnd.choice([1, 1, 3])
        rows = {m: rnd.choice([0, 1, 2, rnd.randint(0, 9)]) for m in range(p.M) if self.limit[m] is not None and rnd.random() < 0.6}
        duals = {e: [rnd.randint(-5, 5) for _ in range(p.n[g] + p.n[h])] for e, (g, h, _) in enumerate(p.blocks) if rnd.random() < 0.3}
        return d, rows, duals
    def r(self, i, g, a):
        d, rows, duals = self.vectors[i]
        p = self.p
        v = d * self.key[g][a] + sum(n * p.cost[g][a][m] for m, n in rows.items())
        for e, u in duals.items():
            if p.blocks[e][0] == g: v += u[a]
            if p.blocks[e][1] == g: v += u[p.n[p.blocks[e][0]] + a]
        return v
    def S(self, i, A):
        d, rows, duals = self.vectors[i]
        p = self.p
        s = sum(min(self.r(i, g, a) for a in A[g]) for g in range(p.G)) - sum(n * self.limit[m] for m, n in rows.items())
        for e, (g, h, t) in enumerate(p.blocks):
            q = []
            for a, b in itertools.product(A[g], A[h]):
                v = t.get((a, b), 0)
                if v is None: continue
                x = 0 if v == 0 else d * self.ekey[e][a, b] + sum(n * v[1][m] for m, n in rows.items())
                if e in duals: x -= duals[e][a] + duals[e][p.n[g] + b]
                q.append(x)
            s += min(q)
        return s
    def threshold(self, i):
        d = self.vectors[i][0]
        return d * (self.T - 1) + 1 if d else 1
    def empty(self, A):
        return any(not a for a in A) or any(all((a, b) in t and t[a, b] is None for a in A[g] for b in A[h]) for g, h, t in self.p.blocks)
    def node(self, A, marks, depth):
        rnd, p = self.rnd, self.p
        if self.empty(A): return 'empty\n'
        i = max(range(len(self.vectors)), key=lambda i: self.S(i, A) - self.threshold(i))
        if self.S(i, A) >= self.threshold(i): return 'bound %d\n' % i
        if rnd.random() < 0.3:
            i = rnd.randrange(len(self.vectors))
            S, t = self.S(i, A), self.threshold(i)
            B = [{c for c in A[g] if S - min(self.r(i, g, a) for a in A[g]) + self.r(i, g, c) < t} for g in range(p.G)]
            if B != A: return 'reduce %d\n' % i + self.node(B, marks, depth + 1)
        free = [b for b in range(1, p.L + 1) if marks[b] == 'free']
        if free and rnd.random() < 0.4:
            b = rnd.choice(free)
            drop = lambda A, bs: [{c for c in A[g] if p.cls[g][c] not in bs} for g in range(p.G)]
            m1, m2 = list(marks), list(marks)
            m1[b], m2[b] = 'banned', 'used'
            A2 = A
            if m2.count('used') == p.K:
                gone = [q for q in range(1, p.L + 1) if m2[q] == 'free']
                for q in gone: m2[q] = 'banned'
                A2 = drop(A, gone)
            return 'class %d\n' % b + self.node(drop(A, [b]), m1, depth + 1) + self.node(A2, m2, depth + 1)
        wide = [g for g in range(p.G) if len(A[g]) > 1]
        if not wide:
            self.ok = False
            return 'bound %d\n' % i
        g = rnd.choice(wide)
        first = set(rnd.sample(sorted(A[g]), rnd.randint(1, len(A[g]) - 1)))
        B, C = list(A), list(A)
        B[g], C[g] = first, A[g] - first
        return 'split %d %d%s\n' % (g, len(first), words(sorted(first))) + self.node(B, marks, depth + 1) + self.node(C, marks, depth + 1)

def dp_fronts(p, row, rnd):
    """The fronts with everything that cannot be completed left out; sometimes one pair is missing."""
    b = INF if p.limit[row] is None else p.limit[row]
    f, s, ok = [(0, 0)], '', True
    for g in range(p.G):
        rest = sum(min(c[row] for c in p.cost[h]) for h in range(g + 1, p.G))
        all_ = sorted({(u + p.cost[g][c][row], v + p.loss[g][c]) for u, v in f for c in range(p.n[g]) if u + p.cost[g][c][row] + rest <= b})
        new = []
        for u, v in all_:
            if not new or v < new[-1][1]:
                if new and new[-1][0] == u: new.pop()
                new.append((u, v))
        if new and rnd.random() < 0.1:
            new.pop(rnd.randrange(len(new)))
            ok = all(any(U <= u and V <= v for U, V in new) for u, v in all_) and ok
        s += 'front %d\n' % len(new) + ''.join('%d %d\n' % q for q in new)
        f = new
    return f, s, ok

class Runner:
    def __init__(self, checker, folder):
        self.checker, self.folder, self.count, self.accepted, self.bad = checker, folder, 0, 0, 0
        self.dir = tempfile.mkdtemp()
    def run(self, name, p, body, want):
        text = p.text()
        cert = 'qva 1\nproblem %s\n' % sha(text) + body
        cert += 'sha256 %s\n' % sha(cert)
        a, b = os.path.join(self.dir, 't.qap'), os.path.join(self.dir, 't.qva')
        open(a, 'w').write(text); open(b, 'w').write(cert)
        r = subprocess.run([self.checker, 'alloc', a, b], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        got = r.returncode == 0 and r.stdout.endswith('s CHECKED\n')
        self.count += 1; self.accepted += got
        if got != want or (not got and r.returncode != 1):
            self.bad += 1
            os.system('cp %s /tmp/alloc-%s.qap; cp %s /tmp/alloc-%s.qva' % (a, name, b, name))
            print('DIFFERENT %s: wanted %s, got %d: %s %s' % (name, want, r.returncode, r.stdout.strip(), r.stderr.strip()[:300]))
        elif want and self.folder: os.system('cp %s %s/alloc%s.qap; cp %s %s/alloc%s.qva' % (a, self.folder, name, b, self.folder, name))

def one(R, seed):
    rnd = random.Random(seed)
    p = Problem(rnd)
    good = [x for x in p.all() if p.feasible(x)]
    limited = [m for m in range(p.M) if p.limit[m] is not None]
    choice = lambda x: 'choice %d%s\n' % (p.value(x)[0], words(x))
    if not good:
        t = Tree(p, rnd, INF, [], p.limit)
        R.run('%d-i' % seed, p, 'claim infeasible\nproof tree\n' + t.text, t.ok)
        x = rnd.choice(list(p.all()))
        R.run('%d-w' % seed, p, 'claim optimum loss\n%sproof tree\nmults 0\nempty\n' % choice(x), False)
        return
    t = Tree(p, rnd, INF, [], p.limit)
    if t.ok: print('UNSOUND %d: infeasible' % seed)
    R.run('%d-f' % seed, p, 'claim infeasible\nproof tree\n' + t.text, t.ok)
    lex = rnd.random() < 0.6
    rows = limited if lex else []
    w, r = p.weights(rows)
    key = lambda x: w * p.value(x)[0] + sum(r[m] * p.value(x)[1][m] for m in rows)
    best = min(good, key=key)
    for x in (best, rnd.choice(good)):
        t = Tree(p, rnd, key(x), rows, p.limit)
        if t.ok and key(x) != key(best): print('UNSOUND %d: optimum' % seed)
        R.run('%d-%s' % (seed, 'o' if x is best else 'p'), p, 'claim optimum %s\n%sproof tree\n%s' % ('lex' if lex else 'loss', choice(x), t.text), t.ok)
    bad = [x for x in p.all() if not p.feasible(x)]
    if bad:
        x = rnd.choice(bad)
        t = Tree(p, rnd, -10**40, rows, p.limit)
        R.run('%d-n' % seed, p, 'claim optimum %s\n%sproof tree\n%s' % ('lex' if lex else 'loss', choice(x), t.text), False)
    if not p.M: return
    row = rnd.randrange(p.M)
    front = []
    for c, l in sorted({(p.value(x)[1][row], p.value(x)[0]) for x in good}):
        if not front or l < front[-1][1]: front.append((c, l))
    at = [next(x for x in good if (p.value(x)[1][row], p.value(x)[0]) == q) for q in front]
    if rnd.random() < 0.2 and len(at) > 1: at.pop(rnd.randrange(len(at)))
    s, ok, limit = '', True, list(p.limit)
    if limit[row] is None: limit[row] = p.spread(row, True)
    w, _ = p.weights([row])
    for x in list(reversed(at)) + [None]:
        t = Tree(p, rnd, INF if x is None else w * p.value(x)[0] + p.value(x)[1][row], [row], limit)
        s += t.text; ok = ok and t.ok
        if x is not None:
            limit = list(limit)
            limit[row] = p.value(x)[1][row] - 1
    if ok and len(at) < len(front): print('UNSOUND %d: front' % seed)
    head = 'claim front %d\npoints %d\n' % (row, len(at)) + ''.join(choice(x) for x in at)
    R.run('%d-c' % seed, p, head + 'proof chain\n' + s, ok)
    others = all(p.limit[m] is None or m == row or sum(max(c[m] for c in g) for g in p.cost) <= p.limit[m] for m in range(p.M))
    f, s, ok = dp_fronts(p, row, rnd)
    ok = ok and not p.blocks and not p.L and others
    b = INF if p.limit[row] is None else p.limit[row]
    pts = [(p.value(x)[1][row], p.value(x)[0]) for x in at]
    R.run('%d-d' % seed, p, head + 'proof dp %d\n' % row + s, ok and all(any(c <= u and l <= v for c, l in pts) for u, v in f if u <= b))
    x = rnd.choice([best, rnd.choice(good)])
    l, c = p.value(x)[0], p.value(x)[1][row]
    want = ok and (not lex or not limited or limited == [row]) and not any(v < l or (lex and limited and v == l and u < c) for u, v in f if u <= b)
    if want and key(x) != key(best): print('UNSOUND %d: dp' % seed)
    R.run('%d-q' % seed, p, 'claim optimum %s\n%sproof dp %d\n%s' % ('lex' if lex else 'loss', choice(x), row, s), want)

def main():
    first, count = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 3 else (0, 400)
    R = Runner(os.path.abspath(sys.argv[1]), sys.argv[4] if len(sys.argv) > 4 else None)
    if R.folder: os.makedirs(R.folder, exist_ok=True)
    for seed in range(first, first + count): one(R, seed)
    print('%d runs, %d accepted, %d different' % (R.count, R.accepted, R.bad))
    sys.exit(1 if R.bad else 0)

if __name__ == '__main__': main()
