/* Parts of the page of `qverify ci`: each writes one section of HTML, or nothing where there is nothing to show. Whatever comes out of
 * results, manifests or models is text of others and passes ci_escape. */
#ifndef QV_CLI_CI_PAGE_H
#define QV_CLI_CI_PAGE_H

#include "cli/ci_doc.h"

typedef struct {
  qv_buf *b;
  const ci_merged *m;
  const char *const *dir; /* result folders, for pictures */
  uint32_t n_dir;
} ci_page;

extern const char *const ci_page_style[]; /* pieces, NULL at the end */
extern const char ci_page_script[];

/* A number out of a report: "7/3" is a fraction. NAN if it is none. For drawing only. */
double ci_real(const char *s);
/* "Title" as a heading with an anchor. */
void ci_heading(qv_buf *b, const char *id, const char *title);

/* ---- cli/ci_chart.c */
void ci_page_accumulators(const ci_page *p);
void ci_page_shares(const ci_page *p);
void ci_page_radii(const ci_page *p);
void ci_page_fronts(const ci_page *p);
void ci_page_timings(const ci_page *p);
/* ---- cli/ci_gallery.c */
void ci_page_gallery(const ci_page *p);
/* ---- cli/ci_evidence.c */
void ci_page_assumptions(const ci_page *p);
void ci_page_recheck(const ci_page *p);

#endif
