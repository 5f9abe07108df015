/* Witnesses as files that can be replayed elsewhere: .npy inputs, and C arrays with the integers every layer must give. */
#ifndef QV_CLI_WITNESS_OUT_H
#define QV_CLI_WITNESS_OUT_H

#include "cli/cli.h"
#include "cli/ovcheck.h"

/* For every reached witness of *o: DIR/nodeN_inputI.npy, and DIR/nodeN.h with the inputs and, by the reference kernels, the
 * elements of every tensor up to node N. DIR is made if it does not exist. *count = witnesses written.
 * Errors: QV_E_INTERNAL when a file cannot be written. */
QV_NODISCARD qv_status cli_witness_files(uint32_t *count, const char *dir, const qv_net *net, const qv_ovcheck *o, qv_err *err);

/* The first counterexample, if there is one, as files that `qverify run --input` reads: one name per model input. */
QV_NODISCARD qv_status cli_witness_cex(const cli_val *to, const qv_net *net, const qv_ovcheck *o, qv_err *err);

/* For every affine node DIR/nodeN_min.npy and DIR/nodeN_max.npy: inputs of that node itself, within their proved ranges, that
 * attain the ends of the proved range of its widest channel; DIR/bounds.txt says which channel, element and sum. */
QV_NODISCARD qv_status cli_bound_files(const char *dir, const qv_net *net, const qv_proof *proof, qv_err *err);

/* One witness input as a .npy file. */
QV_NODISCARD qv_status cli_witness_npy(const char *path, const qv_net *net, const qv_witness *w, uint32_t input, qv_err *err);

#endif
