/* Lowering of TFLite files: the driver, the ends of the model, operators made opaque. One file per operator family does the
 * rest. */
#include "frontend/tflite_lower.h"

#include <stdio.h>
#include <string.h>

#define SUPPORTED "supported: convolutions, FULLY_CONNECTED, ADD, SUB, MUL, pooling, MEAN, activations, SOFTMAX, data movement"

/* ---- the driver ------------------------------------------------------------------------------------------------------ */

static tl_handler handler(int32_t code) {
  static const struct {
    int32_t code;
    tl_handler fn;
  } table[] = {
      {TFL_ADD, tl_add_op},
      {TFL_AVERAGE_POOL_2D, tl_average_pool},
      {TFL_CONCATENATION, tl_concat},
      {TFL_CONV_2D, tl_conv_2d},
      {TFL_DEPTHWISE_CONV_2D, tl_depthwise},
      {TFL_DEQUANTIZE, tl_dequantize},
      {TFL_FULLY_CONNECTED, tl_fully_connected},
      {TFL_LOGISTIC, tl_logistic},
      {TFL_MAX_POOL_2D, tl_max_pool},
      {TFL_MUL, tl_mul_op},
      {TFL_RELU, tl_relu},
      {TFL_RELU_N1_TO_1, tl_relu},
      {TFL_RELU6, tl_relu},
      {TFL_RELU_0_TO_1, tl_relu},
      {TFL_RESHAPE, tl_reshape},
      {TFL_SOFTMAX, tl_softmax},
      {TFL_TANH, tl_tanh},
      {TFL_PAD, tl_pad},
      {TFL_PADV2, tl_pad},
      {TFL_GATHER, tl_gather},
      {TFL_TRANSPOSE, tl_transpose},
      {TFL_MEAN, tl_mean},
      {TFL_SUB, tl_sub_op},
      {TFL_SQUEEZE, tl_squeeze},
      {TFL_STRIDED_SLICE, tl_strided_slice},
      {TFL_SPLIT, tl_split},
      {TFL_LOG_SOFTMAX, tl_log_softmax},
      {TFL_CAST, tl_cast},
      {TFL_SLICE, tl_slice},
      {TFL_EXPAND_DIMS, tl_expand_dims},
      {TFL_SHAPE, tl_shape_op},
      {TFL_PACK, tl_pack},
      {TFL_RESIZE_NEAREST_NEIGHBOR, tl_resize_nearest},
      {TFL_LEAKY_RELU, tl_leaky_relu},
      {TFL_SPLIT_V, tl_split_v},
      {TFL_QUANTIZE, tl_quantize},
      {TFL_HARD_SWISH, tl_hard_swish},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].code == code) return table[i].fn;
  return NULL;
}

static qv_status unsupported(tl *L) {
  int32_t t = tfl_out(L->m, L->op, 0);
  if (L->op->code == TFL_CUSTOM) return TL_UNSUP(L, t, "custom operator '%.60s' is not supported; " SUPPORTED, L->op->name);
  return TL_UNSUP(L, t, "the operator is not supported; " SUPPORTED);
}

/* Replace an operator that we cannot model by OPAQUE nodes: any value of each result's type. Keeps the refusal (already in
 * `why`) when the operator touches floats or its shapes are unknown. */
static qv_status make_opaque(tl *L, const qv_err *why) {
  qv_status st;
  uint32_t in[QV_MAX_INPUTS], n_in = 0;
  for (uint32_t k = 0; k < L->op->in.n && n_in < QV_MAX_INPUTS; k++) {
    int32_t t = tfl_in(L->m, L->op, k);
    if (t < 0) continue;
    if (tfl_is_float(tl_tensor(L, t)->type)) goto refuse;
    if (tl_val(L, t)->state == TL_NET) in[n_in++] = tl_val(L, t)->net;
  }
  if (n_in == 0 || L->op->out.n == 0) goto refuse;
  for (uint32_t k = 0; k < L->op->out.n; k++) {
    int32_t t;
    uint32_t y;
    size_t n;
    QV_TRY(tl_res(L, k, &t));
    tl_shape s = tl_shape_of(L, t);
    int type = tl_tensor(L, t)->type;
    if ((type != TFL_INT8 && type != TFL_UINT8 && type != TFL_INT16 && type != TFL_INT32) || !tl_count(&s, &n)) goto refuse;
    QV_TRY(tl_add_tensor(L, t, &s, &y));
    QV_TRY(tl_add_node_n(L, &(qv_node){.kind = QV_OPAQUE}, in, n_in, y));
    tl_set_net(L, t, y);
  }
  char *note =
      qv_arena_printf(&L->tmp, "operator %u (%s) is not modelled: its results may be any value of their type", L->op_number, L->op->name);
  return note != NULL && qv_net_add_note(L->net, note) ? QV_OK : tl_nomem(L);
refuse:
  st = qv_fail(L->err, why->code, why->where, "%s", why->msg);
done:
  return st;
}

/* A damaged options table is recorded by the reader and wins over what the handler made of the defaults. */
static qv_status try_op(tl *L) {
  tl_handler fn = handler(L->op->code);
  qv_status st = fn != NULL ? fn(L) : unsupported(L);
  return L->m->fb.bad ? QV_E_PARSE : st;
}

static qv_status lower_op(tl *L, bool opaque) {
  if (!opaque) return try_op(L);
  qv_err why = {0}, *outer = L->err;
  uint32_t tensors = L->net->n_tensors, nodes = L->net->n_nodes;
  L->err = &why;
  qv_status st = try_op(L);
  L->err = outer;
  if (st == QV_OK) return st;
  if (st != QV_E_UNSUP) return qv_fail(outer, st, why.where, "%s", why.msg);
  for (uint32_t t = 0; t < L->m->n_tensors; t++) /* constants that the attempt put into the net are put there again later */
    if (L->val[t].state == TL_NET && L->val[t].net >= tensors)
      L->val[t].state = tl_tensor(L, (int32_t)t)->data != NULL ? TL_CONST : TL_UNSET;
  for (uint32_t k = 0; k < L->m->in.n; k++)
    if (L->input_net[k] != QV_NONE && L->input_net[k] >= tensors) L->input_net[k] = QV_NONE;
  L->net->n_tensors = tensors;
  L->net->n_nodes = nodes;
  return make_opaque(L, &why);
}

static void init_values(tl *L) {
  for (uint32_t i = 0; i < L->m->n_tensors; i++) {
    const tfl_tensor *ft = &L->m->tensor[i];
    tl_value *v = &L->val[i];
    v->state = ft->data != NULL ? TL_CONST : TL_UNSET;
    v->rank = ft->rank;
    for (uint32_t d = 0; d < ft->rank; d++) v->dim[d] = (uint32_t)ft->dim[d];
  }
}

static qv_status lower_input(tl *L, uint32_t k) {
  qv_status st;
  int32_t t = qv_fb_at_i32(&L->m->fb, &L->m->in, k);
  const tfl_tensor *ft = tl_tensor(L, t);
  tl_value *v = tl_val(L, t);
  tl_shape s = tl_shape_of(L, t);
  size_t n;
  L->input_net[k] = QV_NONE;
  if (v->state != TL_UNSET)
    return TL_PARSE(L, t, v->state == TL_CONST ? "an input of the model is a constant" : "the same input is listed twice");
  if (!tl_count(&s, &n)) return TL_PARSE(L, t, "an input of the model is empty or has more than %zu elements", QV_MAX_ELEMS);
  if (ft->type == TFL_FLOAT32) {
    v->state = TL_FLOAT_IN;
    v->input = k;
    return QV_OK;
  }
  if (ft->type != TFL_INT8 && ft->type != TFL_UINT8 && ft->type != TFL_INT16 && ft->type != TFL_INT32)
    return TL_UNSUP(L, t, "inputs of this type are not supported; supported: INT8, UINT8, INT16, INT32, and FLOAT32 through QUANTIZE");
  QV_TRY(tl_add_tensor(L, t, &s, &L->input_net[k]));
  tl_set_net(L, t, L->input_net[k]);
done:
  return st;
}

static qv_end input_end(const tl *L, int32_t t) {
  if (tl_tensor(L, t)->type != TFL_FLOAT32) return QV_END_INT;
  return L->prof->quant_inv ? QV_END_QUANT_INV : QV_END_QUANT_AWAY;
}

static qv_status add_inputs(tl *L) {
  for (uint32_t k = 0; k < L->m->in.n; k++) {
    int32_t t = qv_fb_at_i32(&L->m->fb, &L->m->in, k);
    if (L->input_net[k] == QV_NONE) return TL_UNSUP(L, t, "the float input does not reach a QUANTIZE operator; " SUPPORTED);
    qv_port p = {.tensor = L->input_net[k], .end = input_end(L, t)};
    p.name = qv_arena_printf(&L->net->arena, "%s", tl_tensor(L, t)->name);
    if (p.name == NULL || !qv_net_add_in(L->net, &p)) return tl_nomem(L);
  }
  return QV_OK;
}

static qv_status add_outputs(tl *L) {
  for (uint32_t k = 0; k < L->m->out.n; k++) {
    int32_t t = qv_fb_at_i32(&L->m->fb, &L->m->out, k);
    const tl_value *v = tl_val(L, t);
    if (v->state == TL_UNSET) return TL_PARSE(L, t, "nothing writes this output of the model");
    if (v->state != TL_NET && v->state != TL_FLOAT_OUT)
      return TL_UNSUP(L, t, "this output of the model does not come from an integer operator");
    qv_port p = {.tensor = v->net, .end = v->state == TL_NET ? QV_END_INT : QV_END_DEQUANT, .tail = v->tail};
    p.name = qv_arena_printf(&L->net->arena, "%s", tl_tensor(L, t)->name);
    if (p.name == NULL || !qv_net_add_out(L->net, &p)) return tl_nomem(L);
    if (v->tail == NULL) continue;
    char *note = qv_arena_printf(&L->tmp, "output '%s': properties are decided on the integers before the float %s", p.name, v->tail);
    if (note == NULL || !qv_net_add_note(L->net, note)) return tl_nomem(L);
  }
  return QV_OK;
}

static qv_status add_notes(tl *L) {
  bool u8 = false;
  for (uint32_t i = 0; i < L->net->n_tensors; i++) u8 |= L->net->tensor[i].type == QV_U8;
  return !u8 || L->prof->uint8_note == NULL || qv_net_add_note(L->net, L->prof->uint8_note) ? QV_OK : tl_nomem(L);
}

static qv_status lower(tl *L, bool opaque) {
  qv_status st;
  L->val = QV_NEW(&L->tmp, L->m->n_tensors, tl_value);
  L->input_net = QV_NEW(&L->tmp, L->m->in.n, uint32_t);
  if (L->val == NULL || L->input_net == NULL) return tl_nomem(L);
  init_values(L);
  if (L->m->in.n == 0) return TL_UNSUP(L, -1, "the model has no inputs");
  if (L->m->out.n == 0) return TL_PARSE(L, -1, "the model has no outputs");
  for (uint32_t k = 0; k < L->m->in.n; k++) QV_TRY(lower_input(L, k));
  for (L->op_number = 0; L->op_number < L->m->n_ops; L->op_number++) {
    L->op = &L->m->op[L->op_number];
    QV_TRY(lower_op(L, opaque));
  }
  L->op = NULL;
  QV_TRY(add_inputs(L));
  QV_TRY(add_outputs(L));
  QV_TRY(add_notes(L));
done:
  return st;
}

qv_status qv_tflite_read(qv_net **out, const void *data, size_t n, const char *name, const qv_load_opts *opts, qv_err *err) {
  qv_status st;
  qv_net *net = NULL;
  tfl_model m = {0};
  tl L = {.m = &m, .err = err, .file = name};
  const char *profile = opts != NULL && opts->profile != NULL ? opts->profile : "tflite-double";
  size_t limit = opts != NULL && opts->max_bytes != 0 ? opts->max_bytes : INT32_MAX;
  L.prof = qv_profile_find(profile);
  if (L.prof == NULL) return QV_FAIL(err, QV_E_ARG, "there is no profile named '%.60s'", profile);
  m.arena.limit = L.tmp.limit = limit;
  QV_TRY(tfl_model_read(&m, data, n, name, err));
  net = L.net = qv_net_new(limit);
  if (net == NULL) {
    st = tl_nomem(&L);
    goto done;
  }
  QV_TRY(lower(&L, opts != NULL && opts->opaque));
  net->source = qv_arena_printf(&net->arena, "%s", name);
  net->profile = L.prof->name;
  net->format = "tflite";
  if (net->source == NULL) {
    st = tl_nomem(&L);
    goto done;
  }
  QV_TRY(qv_ir_check(net, err));
  *out = net;
  net = NULL;
done:
  qv_net_free(net);
  tfl_model_clear(&m);
  qv_arena_clear(&L.tmp);
  return st;
}
