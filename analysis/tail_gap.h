/* How far apart two entries of a row must be for a tail to keep them apart (docs/semantics.md, lemmas S7 and S8). */
#ifndef QV_ANALYSIS_TAIL_GAP_H
#define QV_ANALYSIS_TAIL_GAP_H

#include "ir/ir.h"

/* x_i <= x_j implies y_i <= y_j, for every row. Pre: checked node. Exact as lemma S7 says. */
bool qv_tail_ordered(const qv_tail *t);

/* Least g of lemma S7 for rows of n entries: if x_C is a maximum and x_C - x_j >= g then y_C > y_j. 0: the tail has no gap. */
int qv_tail_gap(const qv_tail *t, size_t n);

#endif
