/* qverify supports: what VNN-LIB tools ask before they send a query. */
#include <stdio.h>

#include "cli/cli.h"

typedef struct {
  const char *name, *text;
} row;

static const row rows[] = {
    {"onnx-opset-versions", "7\n22\n"},
    {"onnx-element-types", "int8\nuint8\nint16\nuint16\nint32\nint64\nfloat32\nreal\n"},
    {"onnx-operators",
     "QLinearConv int8 uint8\nConvInteger int8 uint8\nQLinearMatMul int8 uint8\nMatMulInteger int8 uint8\nQuantizeLinear\nDequantizeLinear\nConv\nMatMul\nGemm\n"
     "Add\nSub\nMul\nDiv\nMax\nMin\nRelu\nClip\nLeakyRelu\nNeg\nAbs\nSigmoid\nMaxPool\nGlobalMaxPool\nAveragePool\nGlobalAveragePool\nReduceMean\n"
     "Reshape\nFlatten\nSqueeze\nUnsqueeze\nTranspose\nPad\nSlice\nSplit\nConcat\nGather\nExpand\nResize\nUpsample\nIdentity\nDropout\n"},
    {"vnnlib-versions", "1.0\n2.0\n"},
    {"hidden-node-theories", "NH\n"},
    {"multiple-input-output-theories", "MIO\n"},
    {"multiple-network-theories", "SNET\n"},
    {"multiple-node-comparison-theories", "SNC\n"},
    {"arithmetic-complexity-theories", "COUT\n"},
    {"optimised-disjunctive-reasoning", "false\n"},
    {"serialise-assignments", "true\n"},
    {"unsat-proofs", "false\n"},
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  qv_buf out = {0};
  qv_err err = {0};
  unsigned n = 0;
  (void)operand;
  for (size_t i = 0; i < N_ROWS; i++) n += cli_get(cmd, val, rows[i].name) != NULL;
  if (n != 1) return cli_usage(cmd, "supports takes one capability, e.g. --vnnlib-versions");
  for (size_t i = 0; i < N_ROWS; i++)
    if (cli_get(cmd, val, rows[i].name) != NULL) qv_buf_str(&out, rows[i].text);
  qv_status st = cli_emit("-", &out, &err);
  qv_buf_free(&out);
  return st == QV_OK ? qv_cli_exit(QV_OK, NULL) : cli_fail(st, NULL, &err);
}

static const cli_opt opts[] = {
    {"onnx-opset-versions", 0, NULL, false, "smallest and largest operator set"},
    {"onnx-element-types", 0, NULL, false, "element types with sound analysis"},
    {"onnx-operators", 0, NULL, false, "operators, with their element types where these are fewer"},
    {"vnnlib-versions", 0, NULL, false, "oldest and newest version of the query language"},
    {"hidden-node-theories", 0, NULL, false, "NH: no hidden nodes"},
    {"multiple-input-output-theories", 0, NULL, false, "MIO: several inputs and outputs"},
    {"multiple-network-theories", 0, NULL, false, "SNET: one network"},
    {"multiple-node-comparison-theories", 0, NULL, false, "SNC: no comparison between different nodes"},
    {"arithmetic-complexity-theories", 0, NULL, false, "COUT: bounds on inputs, comparisons of outputs (linear ones, too)"},
    {"optimised-disjunctive-reasoning", 0, NULL, false, "false: queries are turned into disjunctive normal form"},
    {"serialise-assignments", 0, NULL, false, "true"},
    {"unsat-proofs", 0, NULL, false, "false: certificates have a format of their own"},
    {.name = NULL},
};

const cli_cmd cli_supports = {
    .name = "supports",
    .operands = "",
    .n_operands = 0,
    .summary = "say which VNN-LIB queries and ONNX models are understood",
    .detail = "The capabilities of the VNN-LIB 2.0 standard's command line, one at a time.",
    .example = "qverify supports --vnnlib-versions",
    .opt = opts,
    .run = run,
};
