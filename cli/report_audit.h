/* Parts of the report that only audits have. Each returns a new object, or NULL without memory. */
#ifndef QV_CLI_REPORT_AUDIT_H
#define QV_CLI_REPORT_AUDIT_H

#include <cjson/cJSON.h>

#include "cli/report.h"

cJSON *cli_report_group(const qv_audit_group *g);   /* cli/report.c */
cJSON *cli_report_audit(const cli_report *r);       /* sums over the layers, and the worst group of each that has an unsafe one */
cJSON *cli_report_repair(const cli_repair *repair);

#endif
