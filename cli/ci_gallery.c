/* Pictures of counterexamples: original, adversarial, difference. Only as many as a page can carry; the text says how many there are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci_page.h"

#define MAX_SHOWN 24
#define MAX_BYTES (1200u << 10) /* of all pictures together, before base64 */

static void base64(qv_buf *b, const unsigned char *p, size_t n) {
  static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
    const char c[4] = {abc[v >> 18], abc[v >> 12 & 63], i + 1 < n ? abc[v >> 6 & 63] : '=', i + 2 < n ? abc[v & 63] : '='};
    qv_buf_put(b, c, 4);
  }
}

/* Name of a counterexample's files: what follows the slash of its id. NULL if that is no plain name. */
static const char *file_name(const cJSON *x) {
  const char *id = ci_word(x, "id"), *slash = id != NULL ? strchr(id, '/') : NULL;
  if (slash == NULL || slash[1] == 0 || strlen(slash) > 100) return NULL;
  return strspn(slash + 1, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(slash + 1) ? slash + 1 : NULL;
}

static const char *const kinds[] = {"original", "adversarial", "difference"};

/* The three pictures, if all are in one of the folders and together no larger than `room`. */
static bool load(qv_buf png[3], const ci_page *p, const char *key, const char *name, size_t room) {
  for (uint32_t d = 0; d < p->n_dir; d++) {
    size_t bytes = 0;
    int have = 0;
    for (; have < 3; have++) {
      char path[4400];
      (void)snprintf(path, sizeof path, "%.4000s/%s.witness/%.100s_%s.png", p->dir[d], key, name, kinds[have]);
      qv_buf_free(&png[have]);
      if (qv_file_read(&png[have], path, room, NULL) != QV_OK || png[have].failed || (bytes += png[have].n) > room) break;
    }
    if (have == 3) return true;
  }
  return false;
}

static void word(qv_buf *b, const char *before, const char *s) {
  if (s == NULL) return;
  qv_buf_str(b, before);
  ci_escape(b, s);
}

static void figure(qv_buf *b, const ci_item *i, const cJSON *x, const char *name, qv_buf png[3]) {
  const cJSON *cex = ci_get(x, "cex"), *lead = ci_get(cex, "lead"), *radius = ci_get(x, "radius");
  qv_buf_str(b, "<figure><div class=\"trio\">");
  for (int k = 0; k < 3; k++) {
    qv_buf_printf(b, "<div><img alt=\"%s\" src=\"data:image/png;base64,", kinds[k]);
    base64(b, png[k].p, png[k].n);
    qv_buf_printf(b, "\">%s</div>", kinds[k]);
  }
  qv_buf_str(b, "</div><figcaption><b>");
  ci_escape(b, i->id);
  qv_buf_printf(b, "</b> %s", name);
  word(b, ": class ", ci_word(x, "class"));
  word(b, " becomes ", ci_word(cex, "class"));
  word(b, "; lead ", ci_word(lead, "original"));
  word(b, " &#8594; ", ci_word(lead, "adversarial"));
  word(b, "; certified up to ", ci_word(radius, "proved"));
  word(b, ", refuted at ", ci_word(radius, "refuted"));
  qv_buf_str(b, "</figcaption></figure>\n");
}

static bool has_pictures(ci_check c) { return c == CI_ROBUST || c == CI_RADIUS; }

/* The number `skip` of the obligations with a counterexample, and the job (of the item's) that found it. */
static const cJSON *counterexample(const ci_outcome *o, uint32_t skip, uint32_t *job) {
  for (*job = 0; o->report != NULL && *job < o->n_jobs - o->n_old; ++*job) {
    const cJSON *x;
    cJSON_ArrayForEach(x, ci_get(o->report[*job], "obligations")) if (cJSON_IsObject(ci_get(x, "cex")) && skip-- == 0) return x;
  }
  return NULL;
}

static uint32_t count(const ci_merged *m) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    if (!has_pictures(m->plan->item[k].check)) continue;
    for (uint32_t j = 0; m->item[k].report != NULL && j < m->item[k].n_jobs - m->item[k].n_old; j++) {
      const cJSON *x;
      cJSON_ArrayForEach(x, ci_get(m->item[k].report[j], "obligations")) n += cJSON_IsObject(ci_get(x, "cex")) ? 1 : 0;
    }
  }
  return n;
}

/* One of each obligation in turn, so that no obligation fills the gallery. */
void ci_page_gallery(const ci_page *p) {
  const ci_merged *m = p->m;
  const uint32_t all = count(m);
  uint32_t shown = 0;
  size_t bytes = 0;
  qv_buf figures = {0}, png[3] = {{0}, {0}, {0}};
  for (uint32_t round = 0, some = all; some > 0 && shown < MAX_SHOWN && round < 4 * MAX_SHOWN; round++) {
    some = 0;
    for (uint32_t k = 0; k < m->plan->n_item && shown < MAX_SHOWN; k++) {
      uint32_t job;
      if (!has_pictures(m->plan->item[k].check)) continue;
      const cJSON *x = counterexample(&m->item[k], round, &job);
      const char *name = file_name(x);
      some += x != NULL;
      if (name == NULL || !load(png, p, m->plan->job[m->item[k].first_job + job].key, name, MAX_BYTES - bytes)) continue;
      figure(&figures, &m->plan->item[k], x, name, png);
      bytes += png[0].n + png[1].n + png[2].n;
      shown++;
    }
  }
  if (shown > 0) {
    ci_heading(p->b, "gallery", "Counterexamples");
    qv_buf_printf(p->b, "<p class=\"dim\">Inputs that were executed and refute a question. Difference: grey is no change, black and white "
                        "the largest. Lead: the right class above the best other one, in integer steps of the output. ");
    if (shown < all) qv_buf_printf(p->b, "Showing %" PRIu32 " of %" PRIu32 "; all in the bundle.", shown, all);
    else qv_buf_printf(p->b, "All %" PRIu32 ".", all);
    qv_buf_str(p->b, "</p>\n<div class=\"gallery\">\n");
    qv_buf_put(p->b, figures.p, figures.n);
    qv_buf_str(p->b, "</div>\n");
    p->b->failed = p->b->failed || figures.failed;
  }
  qv_buf_free(&figures);
  for (int k = 0; k < 3; k++) qv_buf_free(&png[k]);
}
