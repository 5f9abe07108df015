/* Syntax trees of VNN-LIB queries; not for use outside frontend/. */
#ifndef QV_FRONTEND_VNNLIB_AST_H
#define QV_FRONTEND_VNNLIB_AST_H

#include "frontend/vnnlib.h"

typedef enum { VNN_NUM, VNN_VAR, VNN_ADD, VNN_SUB, VNN_MUL, VNN_LE, VNN_LT, VNN_GE, VNN_GT, VNN_EQ, VNN_NE, VNN_AND, VNN_OR } vnn_op;

typedef struct {
  vnn_op op;
  uint32_t kid, next; /* first child, next sibling; QV_NONE */
  uint32_t line;
  bool output;        /* VAR */
  uint32_t el;        /* VAR: number among all input (output) elements */
  const char *s;      /* NUM: text */
  uint32_t len;
} vnn_node;

struct qv_vnnlib {
  int version;
  const char *network;
  char *text;         /* copy that nodes point into */
  uint32_t n_var;
  qv_vnn_var *var;
  size_t n_el[2];     /* input, output elements */
  vnn_node *node;
  uint32_t n_node, cap_node;
  uint32_t *assertion; /* [n_assert] roots */
  uint32_t n_assert, cap_assert;
  qv_arena arena;
};

static inline bool vnn_is_bool(vnn_op op) { return op >= VNN_LE; }

#endif
