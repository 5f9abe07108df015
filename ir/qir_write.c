/* The canonical .qir text of a net (docs/qir.md). Every function appends one construct of the grammar. */
#include <string.h>

#include "ir/qir.h"
#include "ir/qir_text.h"

/* ` key value`; key comes with its blanks. */
static void put(qv_buf *o, const char *key, int64_t v) {
  qv_buf_str(o, key);
  qv_buf_i64(o, v);
}

static void put_word(qv_buf *o, const char *key, const char *word) {
  qv_buf_str(o, key);
  qv_buf_str(o, word);
}

static void put_float(qv_buf *o, const char *key, double v) {
  char t[QV_QIR_FLOAT_MAX];
  qv_buf_str(o, key);
  qv_buf_put(o, t, qv_qir_float_put(t, v));
}

/* Quoted: printable ASCII as it is, except \" and \\; every other byte as \xhh. */
static void put_str(qv_buf *o, const char *key, const char *s) {
  qv_buf_str(o, key);
  qv_buf_put(o, "\"", 1);
  for (; *s != 0; s++) {
    unsigned char c = (unsigned char)*s;
    if (c < 0x20 || c > 0x7e) {
      char e[4] = {'\\', 'x', "0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15]};
      qv_buf_put(o, e, sizeof e);
    } else {
      if (c == '"' || c == '\\') qv_buf_put(o, "\\", 1);
      qv_buf_put(o, s, 1);
    }
  }
  qv_buf_put(o, "\"", 1);
}

static void put_i32s(qv_buf *o, const int32_t *v, size_t n) {
  for (size_t i = 0; i < n; i++) put(o, " ", v[i]);
}

static void put_u32s(qv_buf *o, const uint32_t *v, size_t n) {
  for (size_t i = 0; i < n; i++) put(o, " ", v[i]);
}

static void eol(qv_buf *o) { qv_buf_put(o, "\n", 1); }

static void write_head(qv_buf *o, const qv_net *net) {
  qv_buf_str(o, "qir 1\n");
  put_str(o, "source ", net->source);
  put_str(o, "\nsha256 ", net->sha256);
  put_str(o, "\nprofile ", net->profile);
  put_str(o, "\nformat ", net->format);
  put(o, "\nnotes ", net->n_notes);
  eol(o);
  for (uint32_t i = 0; i < net->n_notes; i++) {
    put_str(o, "note ", net->note[i]);
    eol(o);
  }
}

static void write_tensor(qv_buf *o, uint32_t i, const qv_tensor *t) {
  put(o, "tensor ", i);
  put_str(o, " name ", t->name);
  put_word(o, " type ", qv_dtype_name(t->type));
  put(o, " dims ", t->rank);
  put_u32s(o, t->dim, t->rank);
  if (t->has_q) {
    put_float(o, " scale ", (double)t->scale);
    put(o, " zp ", t->zp);
  } else {
    qv_buf_str(o, " scale none");
  }
  put_word(o, " const ", qv_qir_yes(t->data != NULL));
  eol(o);
  if (t->data == NULL) return;
  qv_buf_str(o, "data");
  put_i32s(o, t->data, qv_elems(t));
  eol(o);
}

static void write_input(qv_buf *o, uint32_t i, const qv_port *p, const qv_tensor *t) {
  put(o, "input ", i);
  put(o, " tensor ", p->tensor);
  put(o, " lo ", t->lo);
  put(o, " hi ", t->hi);
  put_word(o, " end ", qv_qir_end(p->end));
  put_str(o, " name ", p->name);
  eol(o);
}

static void write_output(qv_buf *o, uint32_t i, const qv_port *p) {
  put(o, "output ", i);
  put(o, " tensor ", p->tensor);
  put_word(o, " end ", qv_qir_end(p->end));
  put_str(o, " name ", p->name);
  if (p->tail == NULL) qv_buf_str(o, " tail none");
  else put_str(o, " tail ", p->tail);
  eol(o);
}

static void write_window(qv_buf *o, const qv_window *w) {
  qv_buf_str(o, "window");
  for (const qv_qir_field *f = qv_qir_window; f->key != NULL; f++) {
    uint32_t v;
    memcpy(&v, (const char *)w + f->offset, sizeof v);
    put(o, f->key, v);
  }
  eol(o);
}

static void write_acc(qv_buf *o, const qv_acc *a) {
  put_word(o, "acc ", qv_acc_name(a->mode));
  if (a->mode != QV_ACC_EXACT) put(o, " bits ", a->bits);
  put_word(o, " order ", qv_qir_order(a->order));
  put_word(o, " bias ", qv_qir_bias(a->bias));
  put_word(o, " form ", qv_qir_form(a->raw));
  if (qv_acc_pairs(a)) put_word(o, " pairing ", qv_qir_pairing(a->pairing));
  if (qv_acc_lanes(a)) {
    put(o, " lanes ", a->lanes);
    if (a->mode == QV_ACC_LANES) put(o, " lane_bits ", a->lane_bits);
    put_word(o, " lane ", qv_qir_lane(a->lane_sat));
    put(o, " spill ", a->spill);
  }
  eol(o);
}

static void write_affine(qv_buf *o, const qv_affine *a) {
  const qv_window *w = &a->win;
  write_window(o, w);
  write_acc(o, &a->acc);
  put(o, "x_zp ", a->x_zp);
  put(o, "\nw_zp ", a->n_w_zp);
  put_i32s(o, a->w_zp, a->n_w_zp);
  qv_buf_str(o, "\nb");
  for (uint32_t c = 0; c < w->oc; c++) put(o, " ", a->b[c]);
  qv_buf_str(o, "\nw\n");
  size_t k = (size_t)w->kh * w->kw * (w->ic / w->groups);
  for (uint32_t c = 0; c < w->oc; c++) {
    const int32_t *row = a->w + c * k;
    qv_buf_i64(o, row[0]);
    put_i32s(o, row + 1, k - 1);
    eol(o);
  }
}

static void write_step(qv_buf *o, const qv_step *s) {
  put(o, "step in_zp ", s->in_zp);
  put(o, " lshift ", s->lshift);
  put(o, " out_zp ", s->out_zp);
  put(o, " lo ", s->lo);
  put(o, " hi ", s->hi);
  put(o, " inner ", s->inner);
  if (s->idx == NULL) qv_buf_str(o, "\nidx none");
  else {
    put(o, "\nidx ", s->n_idx);
    put_u32s(o, s->idx, s->n_idx);
  }
  put(o, "\npar ", s->n_par);
  eol(o);
  for (uint32_t c = 0; c < s->n_par; c++) {
    const qv_rq_par *p = &s->par[c];
    unsigned f = qv_qir_rq_fields(p->fn);
    qv_buf_str(o, qv_rq_name(p->fn));
    if (f & QV_QIR_M) put(o, " ", p->m);
    if (f & QV_QIR_SH) put(o, " ", p->sh);
    if (f & QV_QIR_FM) put_float(o, " ", p->M);
    if (f & QV_QIR_FB) put_float(o, " ", p->B);
    eol(o);
  }
}

static void write_threshold(qv_buf *o, const qv_threshold *h) {
  put(o, "threshold inner ", h->inner);
  put(o, " par ", h->n_par);
  eol(o);
  for (uint32_t c = 0; c < h->n_par; c++) {
    const qv_pieces *p = &h->par[c];
    put(o, "t ", p->k);
    for (uint32_t i = 0; i < p->k; i++) put(o, " ", p->t[i]);
    qv_buf_str(o, "\nv");
    put_i32s(o, p->v, (size_t)p->k + 1);
    eol(o);
  }
}

static void write_sum(qv_buf *o, const qv_sum *s, uint32_t n_in) {
  write_acc(o, &s->acc);
  qv_buf_str(o, "terms\n");
  for (uint32_t k = 0; k < n_in; k++) {
    qv_buf_i64(o, s->c[k]);
    put(o, " ", s->z[k]);
    eol(o);
  }
}

static void write_index(qv_buf *o, const qv_index *x, const qv_tensor *out) {
  put_word(o, "index ", qv_qir_index(x->form));
  switch (x->form) {
  case QV_IX_RESHAPE:
  case QV_IX_BROADCAST: break;
  case QV_IX_TRANSPOSE:
    qv_buf_str(o, " a");
    put_i32s(o, x->a, out->rank);
    break;
  case QV_IX_PAD:
  case QV_IX_SLICE:
    qv_buf_str(o, " a");
    put_i32s(o, x->a, out->rank);
    qv_buf_str(o, " b");
    put_i32s(o, x->b, out->rank);
    if (x->form == QV_IX_PAD) put(o, " value ", x->value);
    break;
  case QV_IX_CONCAT: put(o, " axis ", x->axis); break;
  case QV_IX_GATHER:
    put(o, " axis ", x->axis);
    qv_buf_str(o, "\ng");
    put_u32s(o, x->g, out->dim[x->axis]);
    break;
  }
  eol(o);
}

static void write_tail(qv_buf *o, const qv_tail *t) {
  put_word(o, "tail ", qv_qir_tail(t->fn));
  put(o, " out_zp ", t->out_zp);
  put(o, " lo ", t->lo);
  put(o, " hi ", t->hi);
  switch (t->fn) {
  case QV_TAIL_SOFTMAX_Q:
    put(o, " mult ", t->mult);
    put(o, " ls ", t->ls);
    put(o, " diff_min ", t->diff_min);
    put(o, " out_bits ", t->out_bits);
    break;
  case QV_TAIL_SOFTMAX_F:
    put_float(o, " out_scale ", (double)t->out_scale);
    put_word(o, " round ", qv_qir_round(t->round));
    qv_buf_str(o, "\nexp");
    for (unsigned i = 0; i < QV_QIR_EXP; i++) put_float(o, " ", (double)t->exp[i]);
    break;
  case QV_TAIL_SOFTMAX_16:
    put(o, " mult ", t->mult);
    put(o, " ls ", t->ls);
    put_word(o, " rq ", qv_rq_name(t->rq));
    qv_buf_str(o, "\nlut");
    for (unsigned i = 0; i < QV_QIR_LUT; i++) put(o, " ", t->lut[i]);
    break;
  }
  eol(o);
}

static void write_node(qv_buf *o, uint32_t i, const qv_node *n, const qv_net *net) {
  put(o, "node ", i);
  put_word(o, " ", qv_kind_name(n->kind));
  put_str(o, " op ", n->op);
  put(o, " layer ", n->layer);
  put(o, " in ", n->n_in);
  put_u32s(o, n->in, n->n_in);
  put(o, " out ", n->out);
  eol(o);
  const qv_tensor *out = &net->tensor[n->out];
  switch (n->kind) {
  case QV_AFFINE: write_affine(o, &n->u.affine); break;
  case QV_STEP: write_step(o, &n->u.step); break;
  case QV_TABLE:
    put(o, "table lo ", n->u.table.lo);
    put(o, " n ", n->u.table.n);
    qv_buf_str(o, "\nt");
    put_i32s(o, n->u.table.t, n->u.table.n);
    eol(o);
    break;
  case QV_THRESHOLD: write_threshold(o, &n->u.threshold); break;
  case QV_SUM: write_sum(o, &n->u.sum, n->n_in); break;
  case QV_PRODUCT:
    write_acc(o, &n->u.product.acc);
    put(o, "product z0 ", n->u.product.z0);
    put(o, " z1 ", n->u.product.z1);
    eol(o);
    break;
  case QV_MAX: write_window(o, &n->u.max); break;
  case QV_INDEX: write_index(o, &n->u.index, out); break;
  case QV_CLAMP:
    put(o, "clamp lo ", n->u.clamp.lo);
    put(o, " hi ", n->u.clamp.hi);
    eol(o);
    break;
  case QV_WRAP:
    put(o, "wrap bits ", n->u.wrap.bits);
    eol(o);
    break;
  case QV_TAIL: write_tail(o, &n->u.tail); break;
  case QV_OPAQUE:
    put(o, "opaque lo ", out->lo);
    put(o, " hi ", out->hi);
    eol(o);
    break;
  case QV_KINDS: break;
  }
}

qv_status qv_qir_write(qv_buf *out, const qv_net *net, qv_err *err) {
  if (net->n_notes > QV_QIR_MAX_NOTES) return QV_FAIL(err, QV_E_LIMIT, "writing .qir: more than %d notes", QV_QIR_MAX_NOTES);
  write_head(out, net);
  put(out, "tensors ", net->n_tensors);
  eol(out);
  for (uint32_t i = 0; i < net->n_tensors; i++) write_tensor(out, i, &net->tensor[i]);
  put(out, "inputs ", net->n_in);
  eol(out);
  for (uint32_t i = 0; i < net->n_in; i++) write_input(out, i, &net->in[i], &net->tensor[net->in[i].tensor]);
  put(out, "nodes ", net->n_nodes);
  eol(out);
  for (uint32_t i = 0; i < net->n_nodes; i++) write_node(out, i, &net->node[i], net);
  put(out, "outputs ", net->n_out);
  eol(out);
  for (uint32_t i = 0; i < net->n_out; i++) write_output(out, i, &net->out[i]);
  qv_buf_str(out, "end\n");
  return out->failed ? QV_FAIL(err, QV_E_NOMEM, "writing .qir: out of memory") : QV_OK;
}
