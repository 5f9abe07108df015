/* Sums in 16 bits, where a proof allows them.
 *
 * vpmaddubsw multiplies bytes by int8 and adds pairs, saturating at 16 bits; vpaddw adds these to an int16 lane, wrapping. That is half
 * the instructions of 16-bit operands, and right if
 *   (1) no pair of raw products leaves 16 bits, so that none saturates;
 *   (2) in every window between two spills each lane's sum of corrected products w * (x - x_zp) fits 16 bits.
 * For (2) the lane itself may wrap: modulo 2^16 it holds the sum of w * byte; less zero * sum of w, modulo 2^16, it holds the corrected
 * sum, which fits and is therefore exact. Padding is the byte of the zero point: its corrected products are 0.
 * Ranges come from the caller's proof (qv_plan_fact); here they are only added up. */
#include "kernels/exec_int.h"

enum { LANES = 2 }; /* int16 lanes per channel: bytes 0,1 and 2,3 of each weight group */

/* Windows shorter than this on average are not worth their spills (benchmarks/oaq: from here on about even or better). */
enum { SHORTEST = 2 };


static qv_itv term(int64_t w, qv_itv x) {
  return w >= 0 ? (qv_itv){w * x.lo, w * x.hi} : (qv_itv){w * x.hi, w * x.lo};
}

static bool fits16(int64_t lo, int64_t hi) { return lo >= INT16_MIN && hi <= INT16_MAX; }

/* One pair: its corrected interval. False: the raw pair can saturate. */
static bool pair(const qv_narrow_layer *l, size_t p, size_t k, size_t c, size_t lane, qv_itv *corrected) {
  qv_itv raw = {0, 0};
  *corrected = (qv_itv){0, 0};
  for (size_t j = 2 * lane; j < 2 * lane + 2; j++) {
    int64_t w = (int8_t)l->w[((p * l->nk + k) * QV_PANEL + c) * 4 + j];
    if (w == 0) continue; /* whatever the byte: also the filling of a last group */
    qv_itv x = l->range(l->ctx, p, k, j, c), b = {x.lo + l->bias, x.hi + l->bias};
    if (l->padded) b = qv_itv_hull(b, (qv_itv){l->zero, l->zero});
    qv_itv r = term(w, b), t = term(w, (qv_itv){b.lo - l->zero, b.hi - l->zero});
    raw = (qv_itv){raw.lo + r.lo, raw.hi + r.hi};
    *corrected = (qv_itv){corrected->lo + t.lo, corrected->hi + t.hi};
  }
  return fits16(raw.lo, raw.hi);
}

/* Add weight group k to the corrected sums of the window's lanes. 1: they fit; 0: one does not; -1: a pair saturates. */
static int add_group(qv_itv *sum, const qv_narrow_layer *l, size_t k) {
  bool fits = true;
  for (size_t i = 0; i < l->panels * QV_PANEL * LANES; i++) {
    qv_itv t;
    if (!pair(l, i / LANES / QV_PANEL, k, i / LANES % QV_PANEL, i % LANES, &t)) return -1;
    sum[i] = (qv_itv){sum[i].lo + t.lo, sum[i].hi + t.hi};
    fits = fits && fits16(sum[i].lo, sum[i].hi);
  }
  return fits;
}

static void clear(qv_itv *sum, size_t n) {
  for (size_t i = 0; i < n; i++) sum[i] = (qv_itv){0, 0};
}

/* Ends of the windows: each as long as it fits, which makes the fewest. */
static bool find_ends(qv_narrow *out, const qv_narrow_layer *l, qv_itv *sum) {
  size_t lanes_of_all = l->panels * QV_PANEL * LANES, first = 0;
  clear(sum, lanes_of_all);
  for (size_t k = 0; k < l->nk;) {
    int fits = add_group(sum, l, k);
    if (fits < 0 || (fits == 0 && k == first)) return false;
    if (fits != 0) {
      k++;
      continue;
    }
    out->end[out->n++] = first = k;
    clear(sum, lanes_of_all); /* and group k again, as the first of the next window */
  }
  out->end[out->n++] = l->nk;
  return true;
}

static void set_fix(qv_narrow *out, const qv_narrow_layer *l) {
  for (size_t p = 0; p < l->panels; p++)
    for (size_t i = 0, from = 0; i < out->n; from = out->end[i++])
      for (size_t c = 0; c < QV_PANEL; c++)
        for (size_t lane = 0; lane < LANES; lane++) {
          int64_t w = 0;
          for (size_t k = from; k < out->end[i]; k++)
            for (size_t j = 2 * lane; j < 2 * lane + 2; j++) w += (int8_t)l->w[((p * l->nk + k) * QV_PANEL + c) * 4 + j];
          out->fix[((p * out->n + i) * QV_PANEL + c) * LANES + lane] = (int16_t)qv_wrap((qv_i128)l->zero * w, 16);
        }
}

bool qv_narrow_cut(qv_narrow *out, qv_arena *arena, const qv_narrow_layer *l, qv_status *st) {
  size_t n = l->panels * QV_PANEL * LANES;
  qv_arena tmp = {0};
  qv_itv *sum = QV_NEW(&tmp, n, qv_itv);
  *out = (qv_narrow){.end = QV_NEW(arena, l->nk + 1, size_t)};
  *st = sum != NULL && out->end != NULL ? QV_OK : QV_E_NOMEM;
  bool ok = *st == QV_OK && find_ends(out, l, sum) && (out->n == 1 || out->n * SHORTEST <= l->nk);
  qv_arena_clear(&tmp);
  if (!ok) return false;
  if ((out->fix = QV_NEW(arena, out->n * n, int16_t)) == NULL) {
    *st = QV_E_NOMEM;
    return false;
  }
  set_fix(out, l);
  return true;
}
