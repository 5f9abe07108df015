/* The pair and lane accumulators against real hardware and against arithmetic: _mm256_maddubs_epi16 on this CPU, alone and added
 * into int16 lanes by _mm256_adds_epi16 (FBGEMM's 16-bit accumulation) or _mm256_add_epi16, the closed
 * forms for pairs by enumeration, and the int16 lanes of smull/smlal written out in C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/base/rng.h"
#include "kernels/ref.h"
#include "tests/range_net.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static int64_t edge(qv_rng *r, int64_t lo, int64_t hi) {
  int64_t form = qv_rng_range(r, 0, 5);
  return form == 0 ? lo : form == 1 ? hi : form == 2 ? (lo + hi + 1) / 2 : qv_rng_range(r, lo, hi);
}

/* Two terms through the reference. */
static int64_t two(const qv_acc *a, int64_t x0, int64_t w0, int64_t x1, int64_t w1) {
  const int64_t x[2] = {x0, x1}, w[2] = {w0, w1};
  const bool inside[2] = {true, true};
  int64_t y = 0;
  assert_true(qv_acc_run(&y, a, 2, x, w, inside, 0, 0, 0));
  return y;
}

#if defined(__x86_64__)
/* 16 pairs: u8 a, s8 b. */
__attribute__((target("avx2"))) static void maddubs(int16_t *out, const uint8_t *a, const int8_t *b) {
  __m256i x = _mm256_loadu_si256((const __m256i_u *)(const void *)a), y = _mm256_loadu_si256((const __m256i_u *)(const void *)b);
  _mm256_storeu_si256((__m256i_u *)(void *)out, _mm256_maddubs_epi16(x, y));
}

/* Does the instruction give another value than the exact sum for some (a0,a1)? All 65,536 of them. */
__attribute__((target("avx2"))) static bool can_saturate(int8_t b0, int8_t b1) {
  __m256i w8 = _mm256_set1_epi16((int16_t)(uint16_t)((uint8_t)b0 | (uint8_t)b1 << 8)), differ = _mm256_setzero_si256();
  for (int a0 = 0; a0 < 256; a0++)
    for (int a1 = 0; a1 < 256; a1 += 8) {
      __m256i x32 = _mm256_add_epi32(_mm256_set1_epi32(a1), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
      __m256i x8 = _mm256_or_si256(_mm256_slli_epi32(x32, 8), _mm256_set1_epi32(a0)); /* each 32-bit lane: bytes a0, a1, 0, 0 */
      __m256i got = _mm256_srai_epi32(_mm256_slli_epi32(_mm256_maddubs_epi16(x8, w8), 16), 16);
      __m256i want = _mm256_add_epi32(_mm256_mullo_epi32(x32, _mm256_set1_epi32(b1)), _mm256_set1_epi32(a0 * b0));
      differ = _mm256_or_si256(differ, _mm256_xor_si256(got, want));
    }
  return !_mm256_testz_si256(differ, differ);
}

enum { K = 200 }; /* products of a row */

/* One row a against 16 columns b[i][column] the way FBGEMM's 16-bit kernels do it: two bytes of a broadcast, vpmaddubsw, and a
 * saturating (or plain) addition to an int16 lane per column, which is added to 32 bits and cleared every `spill` pairs. */
__attribute__((target("avx2"))) static void acc16(int32_t *out, const uint8_t *a, const int8_t (*b)[16], int k, int spill, bool sat) {
  __m256i lane = _mm256_setzero_si256(), wide[2] = {lane, lane};
  for (int p = 0; 2 * p < k; p++) {
    int8_t col[32];
    uint8_t a1 = 2 * p + 1 < k ? a[2 * p + 1] : 0;
    for (int j = 0; j < 16; j++) col[2 * j] = b[2 * p][j], col[2 * j + 1] = 2 * p + 1 < k ? b[2 * p + 1][j] : 0;
    __m256i x = _mm256_set1_epi16((int16_t)(uint16_t)(a[2 * p] | a1 << 8));
    __m256i v = _mm256_maddubs_epi16(x, _mm256_loadu_si256((const __m256i_u *)(const void *)col));
    lane = sat ? _mm256_adds_epi16(lane, v) : _mm256_add_epi16(lane, v);
    if ((p + 1) % spill != 0 && 2 * p + 2 < k) continue;
    wide[0] = _mm256_add_epi32(wide[0], _mm256_cvtepi16_epi32(_mm256_castsi256_si128(lane)));
    wide[1] = _mm256_add_epi32(wide[1], _mm256_cvtepi16_epi32(_mm256_extracti128_si256(lane, 1)));
    lane = _mm256_setzero_si256();
  }
  _mm256_storeu_si256((__m256i_u *)(void *)out, wide[0]);
  _mm256_storeu_si256((__m256i_u *)(void *)(out + 8), wide[1]);
}

/* One dot product with 16 lanes: pair p goes to lane p mod 16. Never spilled. */
__attribute__((target("avx2"))) static int64_t dot16(const uint8_t *a, const int8_t *b, int k, bool sat) {
  __m256i lane = _mm256_setzero_si256();
  int16_t lanes[16];
  int64_t s = 0;
  for (int i = 0; i < k; i += 32) {
    uint8_t x[32] = {0};
    int8_t y[32] = {0};
    memcpy(x, a + i, (size_t)(k - i < 32 ? k - i : 32));
    memcpy(y, b + i, (size_t)(k - i < 32 ? k - i : 32));
    __m256i v = _mm256_maddubs_epi16(_mm256_loadu_si256((const __m256i_u *)(const void *)x), _mm256_loadu_si256((const __m256i_u *)(const void *)y));
    lane = sat ? _mm256_adds_epi16(lane, v) : _mm256_add_epi16(lane, v);
  }
  _mm256_storeu_si256((__m256i_u *)(void *)lanes, lane);
  for (int j = 0; j < 16; j++) s += lanes[j];
  return s;
}

static bool have_avx2(void) {
  if (__builtin_cpu_supports("avx2")) return true;
  printf("SKIPPED: this CPU has no AVX2\n");
  return false;
}
#else
static bool have_avx2(void) {
  printf("SKIPPED: not an x86-64 CPU\n");
  return false;
}
static void maddubs(int16_t *out, const uint8_t *a, const int8_t *b) { (void)out, (void)a, (void)b; }
static bool can_saturate(int8_t b0, int8_t b1) { return b0 > b1; }
enum { K = 200 };
static void acc16(int32_t *out, const uint8_t *a, const int8_t (*b)[16], int k, int spill, bool sat) { (void)out, (void)a, (void)b, (void)k, (void)spill, (void)sat; }
static int64_t dot16(const uint8_t *a, const int8_t *b, int k, bool sat) { return (void)a, (void)b, k + sat; }
#endif

static int64_t row(const qv_acc *a, int k, const uint8_t *x, const int8_t *w, size_t stride) {
  static int64_t xs[K], ws[K];
  static bool inside[K];
  int64_t y = 0;
  for (int i = 0; i < k; i++) xs[i] = x[i], ws[i] = w[(size_t)i * stride], inside[i] = true;
  assert_true(qv_acc_run(&y, a, (size_t)k, xs, ws, inside, 0, 0, 0));
  return y;
}

/* Pairs in int16 lanes: the reference and the instructions, with lanes that saturate or wrap in some of the rows. */
static void hardware_pairlanes(void **state) {
  (void)state;
  qv_rng r = {2611};
  uint64_t moved = 0, n = 0;
  if (!have_avx2()) skip();
  for (unsigned it = 0; it < 2000 * rn_multiplier(); it++) {
    uint8_t a[K];
    int8_t b[K][16], t[16][K];
    int32_t got[16];
    bool sat = it % 2 == 0;
    int k = (int)qv_rng_range(&r, 1, K), spill = (int)qv_rng_range(&r, 1, it % 3 == 0 ? 128 : 9), most = it % 5 == 0 ? 127 : 40;
    for (int i = 0; i < k; i++) {
      a[i] = (uint8_t)edge(&r, 0, 255);
      for (int j = 0; j < 16; j++) b[i][j] = t[j][i] = (int8_t)edge(&r, -most - 1, most);
    }
    qv_acc acc = {.mode = QV_ACC_PAIRLANES, .bits = 32, .raw = true, .lane_bits = 16, .lanes = 1, .lane_sat = sat, .spill = (uint32_t)spill};
    acc16(got, a, (const int8_t(*)[16])b, k, spill, sat);
    for (int j = 0; j < 16; j++, n++) {
      int64_t exact = 0, want = row(&acc, k, a, &b[0][j], 16);
      for (int i = 0; i < k; i++) exact += a[i] * b[i][j];
      if (got[j] != want) fail_msg("row %u column %d: the CPU says %d, the reference %lld", it, j, got[j], (long long)want);
      moved += want != exact;
    }
    acc.lanes = 16;
    acc.spill = 0;
    assert_int_equal(dot16(a, t[3], k, sat), row(&acc, k, a, t[3], 1));
  }
  printf("%llu sums of pairs in int16 lanes on the CPU, %llu not exact\n", (unsigned long long)n, (unsigned long long)moved);
  assert_true(moved > n / 20 && moved < n - n / 20);
}

static void hardware_pairs(void **state) {
  (void)state;
  const qv_acc pair = {.mode = QV_ACC_PAIR16, .bits = 32, .raw = true};
  qv_rng r = {4242};
  if (!have_avx2()) skip();
  uint64_t n = 1000000ull * rn_multiplier(), saturated = 0;
  for (uint64_t i = 0; i < n; i += 16) {
    uint8_t a[32];
    int8_t b[32];
    int16_t got[16];
    for (int k = 0; k < 32; k++) a[k] = (uint8_t)edge(&r, 0, 255), b[k] = (int8_t)edge(&r, -128, 127);
    maddubs(got, a, b);
    for (int k = 0; k < 16; k++) {
      int64_t want = two(&pair, a[2 * k], b[2 * k], a[2 * k + 1], b[2 * k + 1]);
      if (got[k] != want) fail_msg("%d*%d + %d*%d: the CPU says %d, the reference %lld", a[2 * k], b[2 * k], a[2 * k + 1], b[2 * k + 1], got[k], (long long)want);
      saturated += want != a[2 * k] * b[2 * k] + a[2 * k + 1] * b[2 * k + 1];
    }
  }
  printf("%llu pairs on the CPU, %llu saturate\n", (unsigned long long)n, (unsigned long long)saturated);
  assert_true(saturated > n / 100);
}

static int pos(int v) { return v > 0 ? v : 0; }
static int neg(int v) { return v < 0 ? v : 0; }

/* Rule P1: no input of [0,255]^2 saturates iff b0+ + b1+ <= 128 and b0- + b1- >= -128. By enumeration on the CPU: all weight
 * pairs in the long run, every 37th otherwise. */
static void rule_p1_hardware(void **state) {
  (void)state;
  if (!have_avx2()) skip();
  int step = rn_multiplier() >= 10 ? 1 : 37, unsafe = 0, n = 0;
  for (int i = 0; i < 65536; i += step, n++) {
    int b0 = i / 256 - 128, b1 = i % 256 - 128;
    bool rule = pos(b0) + pos(b1) > 128 || neg(b0) + neg(b1) < -128;
    if (can_saturate((int8_t)b0, (int8_t)b1) != rule) fail_msg("weights %d, %d", b0, b1);
    unsafe += rule;
  }
  printf("%d weight pairs, all inputs of each on the CPU: %d can saturate\n", n, unsafe);
  if (step == 1) assert_int_equal(unsafe, 16257);
}

/* P1 and P2 by plain loops: the sum of two independent products is extreme where each is. */
static void rules_enumerated(void **state) {
  (void)state;
  int unsafe = 0;
  qv_rng r = {77};
  for (int i = 0; i < 65536; i++) {
    int b[2] = {i / 256 - 128, i % 256 - 128}, hi = 0, lo = 0;
    for (int k = 0; k < 2; k++) {
      int top = 0, bottom = 0;
      for (int a = 0; a < 256; a++) top = a * b[k] > top ? a * b[k] : top, bottom = a * b[k] < bottom ? a * b[k] : bottom;
      hi += top, lo += bottom;
    }
    bool saturates = hi > 32767 || lo < -32768;
    assert_int_equal(saturates, pos(b[0]) + pos(b[1]) > 128 || neg(b[0]) + neg(b[1]) < -128);
    unsafe += saturates;
  }
  assert_int_equal(unsafe, 16257);
  for (unsigned it = 0; it < 20000 * rn_multiplier(); it++) {
    int64_t L[2], U[2], b[2], top = 0, bottom = 0, rule_hi = 0, rule_lo = 0;
    for (int k = 0; k < 2; k++) {
      int64_t x = edge(&r, 0, 255), y = edge(&r, 0, 255), best = INT64_MIN, least = INT64_MAX;
      L[k] = qv_min64(x, y), U[k] = qv_max64(x, y), b[k] = edge(&r, -128, 127);
      for (int64_t a = L[k]; a <= U[k]; a++) best = qv_max64(best, a * b[k]), least = qv_min64(least, a * b[k]);
      top += best, bottom += least;
      rule_hi += (b[k] >= 0 ? U[k] : L[k]) * b[k], rule_lo += (b[k] >= 0 ? L[k] : U[k]) * b[k];
    }
    assert_int_equal(top > 32767 || bottom < -32768, rule_hi > 32767 || rule_lo < -32768);
    qv_net *net = rn_new(); /* and the analysis says the same */
    const int32_t w[2] = {(int32_t)b[0], (int32_t)b[1]};
    qv_itv box[2] = {{L[0], U[0]}, {L[1], U[1]}};
    const qv_ranges dom = {2, 1, box};
    const uint32_t k = 2;
    qv_range_result res;
    uint32_t x = rn_input(net, QV_U8, 0, 255, 1, &k);
    rn_run(&res, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(2, 1), .w = w, .acc = {.mode = QV_ACC_PAIR16, .bits = 32, .raw = true}}),
           (const qv_ranges *const[]){&dom}, 0);
    rn_itv(res.acc[0].stage[0].itv, bottom, top, "pair");
    qv_range_clear(&res);
    qv_net_free(net);
  }
}

/* smull; smlal: two products of int8 in one int16 lane, modulo 2^16. */
static void neon_lanes(void **state) {
  (void)state;
  const qv_acc lanes = {.mode = QV_ACC_LANES, .bits = 32, .lanes = 1, .lane_bits = 16, .spill = 2, .raw = true};
  qv_rng r = {99};
  for (unsigned i = 0; i < 1000000 * rn_multiplier(); i++) {
    int w0 = (int)edge(&r, -128, 127), x0 = (int)edge(&r, -128, 127), w1 = (int)edge(&r, -128, 127), x1 = (int)edge(&r, -128, 127);
    int16_t lane = (int16_t)(uint16_t)(w0 * x0 + w1 * x1);
    assert_int_equal(two(&lanes, x0, w0, x1, w1), lane);
  }
  /* the only two products that do not fit together are both -128 * -128 */
  bool product[32769] = {0}; /* index p + 16384 */
  for (int w = -128; w < 128; w++)
    for (int x = -128; x < 128; x++) product[w * x + 16384] = true;
  int bad = 0;
  for (int p = 0; p <= 32768; p++)
    for (int q = 0; product[p] && q <= 32768; q++)
      if (product[q] && (p + q - 32768 > 32767 || p + q - 32768 < -32768)) assert_true(p == 32768 && q == 32768), bad++;
  assert_int_equal(bad, 1);
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(hardware_pairs), cmocka_unit_test(rule_p1_hardware), cmocka_unit_test(rules_enumerated),
                                 cmocka_unit_test(neon_lanes), cmocka_unit_test(hardware_pairlanes)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
